package session

import (
	"fmt"
	"math"
	"time"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/vclock"
	"google.golang.org/protobuf/encoding/protowire"
)

// DecodeOp reads one encoded op, all of b. It returns an error that wraps
// ErrMalformed, and no op, for anything else than an op within the limits; a
// body of an unknown kind gives [Unknown]. The op's byte slices point into b.
func DecodeOp(b []byte) (Op, error) {
	op, err := decodeOp(b)
	if err == nil {
		err = checkContent(op.Body)
	}
	if err != nil {
		return Op{}, err
	}
	return op, nil
}

// checkContent checks the JSON that messages carry. Ops from the store have
// passed it when they came in.
func checkContent(body Body) error {
	var err error
	switch x := body.(type) {
	case Put:
		err = checkParts("put", part{"content", x.Content}, part{"tool_calls", x.ToolCalls}, part{"metadata", x.Metadata})
	case Edit:
		err = checkParts("edit", part{"content", x.Content}, part{"metadata", x.Metadata})
	case Complete:
		err = checkParts("complete", part{"result", x.Result})
	}
	if err != nil {
		return fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return nil
}

func decodeOp(b []byte) (Op, error) {
	if len(b) > MaxOpBytes {
		return Op{}, fmt.Errorf("op of %d bytes, at most %d: %w", len(b), MaxOpBytes, ErrMalformed)
	}
	var op Op
	var wall, logical, trust uint64
	f := fields{rest: b}
	for f.next() {
		switch {
		case f.number == fieldOrigin:
			op.Dot.Origin = vclock.Origin(f.text(vclock.MaxOriginBytes))
		case f.number == fieldSeq:
			op.Dot.Seq = vclock.Seq(f.uint(math.MaxUint64))
		case f.number == fieldSpace:
			op.Space = f.text(MaxNameBytes)
		case f.number == fieldSession:
			op.Session = f.text(MaxNameBytes)
		case f.number == fieldDeps:
			op.Deps = f.vector()
		case f.number == fieldWall:
			wall = f.uint(math.MaxUint64)
		case f.number == fieldLogical:
			logical = f.uint(math.MaxUint32)
		case f.number == fieldTrust:
			trust = f.uint(math.MaxUint32)
		case f.number == fieldActor:
			op.Actor = f.text(MaxActorBytes)
		case f.number == fieldKey:
			op.Key = f.text(MaxKeyBytes)
		case f.number == fieldKeyIndex:
			op.KeyIndex = uint32(f.uint(math.MaxUint32))
		case f.number == fieldRequest:
			f.digest(&op.Request)
		case f.number >= fieldBodyMin && f.number <= fieldBodyMax:
			if op.Body != nil {
				return Op{}, fmt.Errorf("op with two bodies: %w", ErrMalformed)
			}
			op.Body = f.body()
		}
	}
	if f.err != nil {
		return Op{}, fmt.Errorf("op field %d: %w", f.number, f.err)
	}
	var err error
	if op.Stamp, err = stampOf(wall, logical, trust); err != nil {
		return Op{}, err
	}
	if err := op.validate(); err != nil {
		return Op{}, fmt.Errorf("%w: %w", ErrMalformed, err)
	}
	return op, nil
}

func (f *fields) body() Body {
	raw := f.bytes(MaxOpBytes)
	if f.err != nil {
		return nil
	}
	g := fields{rest: raw}
	var body Body
	switch f.number {
	case fieldOpen:
		body = g.open()
	case fieldTransition:
		body = g.transition()
	case fieldPut:
		body = g.put()
	case fieldEdit:
		body = g.edit()
	case fieldRedact:
		x := Redact{}
		for g.next() {
			if g.number == 1 {
				x.Message = g.text(MaxNameBytes)
			}
		}
		body = x
	case fieldSet:
		x := Set{}
		for g.next() {
			if g.number == 1 {
				x.Leaves = g.leaf(x.Leaves)
			}
		}
		body = x
	case fieldAdjust:
		body = g.adjust()
	case fieldTextEdit:
		body = g.textEdit()
	case fieldClaim:
		body = g.claim()
	case fieldComplete:
		body = g.complete()
	case fieldExpire:
		body = Expire{}
		g.skip()
	case fieldErase:
		body = Erase{}
		g.skip()
	case fieldErased:
		body = Erased{}
		g.skip()
	default:
		return Unknown{Kind: uint32(f.number), Raw: raw}
	}
	f.err = g.err
	return body
}

func (f *fields) open() Open {
	x := Open{}
	for f.next() {
		switch f.number {
		case 1:
			x.Order = Order(f.uint(math.MaxUint8))
		case 2:
			x.TTL = time.Duration(f.uint(uint64(math.MaxInt64/time.Millisecond))) * time.Millisecond
		case 3:
			f.label(&x)
		case 4:
			x.Context = f.leaf(x.Context)
		}
	}
	return x
}

func (f *fields) label(x *Open) {
	g := fields{rest: f.bytes(2*MaxLabelBytes + 16)}
	key, value := "", ""
	for g.next() {
		switch g.number {
		case 1:
			key = g.text(MaxLabelBytes)
		case 2:
			value = g.text(MaxLabelBytes)
		}
	}
	f.fail(g.err)
	if _, twice := x.Labels[key]; twice || len(x.Labels) >= MaxLabels {
		f.fail(fmt.Errorf("label twice or one too many: %w", ErrMalformed))
	}
	if f.err != nil {
		return
	}
	if x.Labels == nil {
		x.Labels = make(map[string]string)
	}
	x.Labels[key] = value
}

func (f *fields) transition() Transition {
	x := Transition{}
	for f.next() {
		switch f.number {
		case 1:
			x.To = State(f.uint(math.MaxUint8))
		case 2:
			x.Epoch = f.uint(math.MaxUint64)
		}
	}
	return x
}

func (f *fields) put() Put {
	x := Put{}
	for f.next() {
		switch f.number {
		case 1:
			x.ID = f.text(MaxNameBytes)
		case 2:
			x.Parent = f.text(MaxNameBytes)
		case 3:
			x.Role = f.text(MaxRoleBytes)
		case 4:
			x.Name = f.text(MaxMessageBytes)
		case 5:
			x.ToolCallID = f.text(MaxMessageBytes)
		case 6:
			x.Content = f.bytes(MaxMessageBytes)
		case 7:
			x.ToolCalls = f.bytes(MaxMessageBytes)
		case 8:
			x.Metadata = f.bytes(MaxMessageBytes)
		case 9:
			x.CallOf = f.text(MaxNameBytes)
		case 10:
			x.CallIndex = uint32(f.uint(MaxCalls - 1))
		}
	}
	return x
}

func (f *fields) edit() Edit {
	x := Edit{}
	for f.next() {
		switch f.number {
		case 1:
			x.Message = f.text(MaxNameBytes)
		case 2:
			x.Content = f.bytes(MaxMessageBytes)
		case 3:
			x.Metadata = f.bytes(MaxMessageBytes)
		}
	}
	return x
}

func (f *fields) leaf(to []Leaf) []Leaf {
	g := fields{rest: f.bytes(MaxOpBytes)}
	l := Leaf{}
	for g.next() {
		switch g.number {
		case 1:
			l.Path = g.text(MaxPathBytes)
		case 2:
			l.Value = g.bytes(MaxOpBytes)
		case 3:
			l.Deleted = g.uint(1) == 1
		}
	}
	f.fail(g.err)
	if len(to) >= MaxLeaves {
		f.fail(fmt.Errorf("more than %d leaves: %w", MaxLeaves, ErrMalformed))
		return to
	}
	return append(to, l)
}

func (f *fields) adjust() Adjust {
	x := Adjust{}
	for f.next() {
		if f.number != 1 {
			continue
		}
		if len(x.Changes) >= MaxLeaves {
			f.fail(fmt.Errorf("more than %d adjustments: %w", MaxLeaves, ErrMalformed))
			return x
		}
		x.Changes = append(x.Changes, f.adjustment())
	}
	return x
}

func (f *fields) adjustment() Adjustment {
	g := fields{rest: f.bytes(MaxOpBytes)}
	c := Adjustment{}
	for g.next() {
		switch g.number {
		case 1:
			c.Kind = ChangeKind(g.uint(math.MaxUint8))
		case 2:
			c.Path = g.text(MaxPathBytes)
		case 3:
			c.By = protowire.DecodeZigZag(g.uint(math.MaxUint64))
		case 4:
			c.Value = g.bytes(MaxOpBytes)
		}
	}
	f.fail(g.err)
	return c
}

// fields walks the fields of a message. After the first error next gives false
// and err holds it. A value that nobody asked for is skipped.
type fields struct {
	rest   []byte
	number protowire.Number
	kind   protowire.Type
	taken  bool // the value of the present field was read
	begun  bool
	err    error
}

func (f *fields) next() bool {
	if f.err == nil && f.begun && !f.taken {
		n := protowire.ConsumeFieldValue(f.number, f.kind, f.rest)
		f.advance(n)
	}
	if f.err != nil || len(f.rest) == 0 {
		return false
	}
	number, kind, n := protowire.ConsumeTag(f.rest)
	f.begun, f.taken = true, false
	if f.advance(n); f.err != nil {
		return false
	}
	f.taken, f.number, f.kind = false, number, kind
	return true
}

func (f *fields) skip() {
	for f.next() { //nolint:revive // the loop walks over everything to check it
		continue
	}
}

func (f *fields) advance(n int) {
	if n < 0 {
		f.fail(fmt.Errorf("%w: %w", ErrMalformed, protowire.ParseError(n)))
		return
	}
	f.rest, f.taken = f.rest[n:], true
}

func (f *fields) fail(err error) {
	if f.err == nil {
		f.err = err
	}
}

func (f *fields) uint(most uint64) uint64 {
	if f.kind != protowire.VarintType {
		f.fail(fmt.Errorf("not a number: %w", ErrMalformed))
		return 0
	}
	v, n := protowire.ConsumeVarint(f.rest)
	if f.advance(n); f.err == nil && v > most {
		f.fail(fmt.Errorf("number %d, at most %d: %w", v, most, ErrMalformed))
	}
	return v
}

// bytes gives nil for the empty value, so that absent and empty are the same.
func (f *fields) bytes(most int) []byte {
	if f.kind != protowire.BytesType {
		f.fail(fmt.Errorf("not bytes: %w", ErrMalformed))
		return nil
	}
	v, n := protowire.ConsumeBytes(f.rest)
	if f.advance(n); f.err == nil && len(v) > most {
		f.fail(fmt.Errorf("%d bytes, at most %d: %w", len(v), most, ErrMalformed))
	}
	if f.err != nil || len(v) == 0 {
		return nil
	}
	return v[:len(v):len(v)]
}

func (f *fields) text(most int) string {
	v := f.bytes(most)
	if f.err == nil && !utf8.Valid(v) {
		f.fail(fmt.Errorf("text is not UTF-8: %w", ErrMalformed))
	}
	return string(v)
}

func (f *fields) vector() vclock.Vector {
	raw := f.bytes(MaxOpBytes)
	if f.err != nil || len(raw) == 0 {
		return vclock.Vector{}
	}
	v, rest, err := vclock.Decode(raw)
	if err != nil || len(rest) > 0 {
		f.fail(fmt.Errorf("deps (%d bytes left, %v): %w", len(rest), err, ErrMalformed))
	}
	return v
}

func (f *fields) digest(d *Digest) {
	raw := f.bytes(len(d))
	if f.err == nil && len(raw) != len(d) {
		f.fail(fmt.Errorf("request digest of %d bytes: %w", len(raw), ErrMalformed))
	}
	copy(d[:], raw)
}
