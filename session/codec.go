package session

import (
	"fmt"
	"maps"
	"math"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/vclock"
	"google.golang.org/protobuf/encoding/protowire"
)

// Field numbers of an op; see op.proto.
const (
	fieldOrigin   = 1
	fieldSeq      = 2
	fieldSpace    = 3
	fieldSession  = 4
	fieldDeps     = 5
	fieldWall     = 6
	fieldLogical  = 7
	fieldTrust    = 8
	fieldActor    = 9
	fieldKey      = 10
	fieldKeyIndex = 11
	fieldRequest  = 12

	fieldBodyMin    = 16 // all numbers from here to fieldBodyMax are bodies
	fieldOpen       = 16
	fieldTransition = 17
	fieldPut        = 18
	fieldEdit       = 19
	fieldRedact     = 20
	fieldSet        = 21
	fieldAdjust     = 22
	fieldExpire     = 23
	fieldErase      = 24
	fieldErased     = 25
	fieldTextEdit   = 26
	fieldClaim      = 27
	fieldComplete   = 28
	fieldLast       = fieldComplete // the last that is known
	fieldBodyMax    = 127
)

// Append appends the encoded op to b and returns the longer slice. Equal ops
// give equal bytes. It returns ErrInvalid for an op that [DecodeOp] would
// refuse, but does not look into the JSON of messages, which [Author] checks;
// and a LimitError with ErrTooBig above MaxOpBytes.
func (op *Op) Append(b []byte) ([]byte, error) {
	if err := op.validate(); err != nil {
		return b, fmt.Errorf("%w: %w", ErrInvalid, err)
	}
	start := len(b)
	b = appendText(b, fieldOrigin, string(op.Dot.Origin))
	b = appendNumber(b, fieldSeq, uint64(op.Dot.Seq))
	b = appendText(b, fieldSpace, op.Space)
	b = appendText(b, fieldSession, op.Session)
	if !op.Deps.IsEmpty() {
		b = appendVectorField(b, op.Deps)
	}
	b = appendNumber(b, fieldWall, op.Stamp.Wall)
	b = appendNumber(b, fieldLogical, uint64(op.Stamp.Logical))
	b = appendNumber(b, fieldTrust, uint64(op.Stamp.Trust))
	b = appendText(b, fieldActor, op.Actor)
	b = appendText(b, fieldKey, op.Key)
	b = appendNumber(b, fieldKeyIndex, uint64(op.KeyIndex))
	if op.Request != (Digest{}) {
		b = appendBytes(b, fieldRequest, op.Request[:])
	}
	b = appendBody(b, op.Body)
	if n := len(b) - start; n > MaxOpBytes {
		return b[:start], &LimitError{Err: ErrTooBig, What: "op", Got: n, Max: MaxOpBytes}
	}
	return b, nil
}

// appendVectorField writes the vector behind a length that it learns only
// afterwards; one byte is kept for it and the rest shifted when that is short.
func appendVectorField(b []byte, v vclock.Vector) []byte {
	b = protowire.AppendTag(b, fieldDeps, protowire.BytesType)
	at := len(b)
	b = v.AppendBinary(append(b, 0))
	n := len(b) - at - 1
	if extra := protowire.SizeVarint(uint64(n)) - 1; extra > 0 {
		b = append(b, make([]byte, extra)...)
		copy(b[at+1+extra:], b[at+1:at+1+n])
	}
	protowire.AppendVarint(b[:at], uint64(n))
	return b
}

func appendBody(b []byte, body Body) []byte {
	switch x := body.(type) {
	case Open:
		b = appendHead(b, fieldOpen, sizeOpen(x))
		return appendOpen(b, x)
	case Transition:
		b = appendHead(b, fieldTransition, sizeNumber(1, uint64(x.To))+sizeNumber(2, x.Epoch))
		b = appendNumber(b, 1, uint64(x.To))
		return appendNumber(b, 2, x.Epoch)
	case Put:
		b = appendHead(b, fieldPut, sizePut(&x))
		return appendPut(b, &x)
	case Edit:
		b = appendHead(b, fieldEdit, sizeText(1, x.Message)+sizeBytes(2, x.Content)+sizeBytes(3, x.Metadata))
		b = appendText(b, 1, x.Message)
		b = appendBytes(b, 2, x.Content)
		return appendBytes(b, 3, x.Metadata)
	case Redact:
		b = appendHead(b, fieldRedact, sizeText(1, x.Message))
		return appendText(b, 1, x.Message)
	case Set:
		b = appendHead(b, fieldSet, sizeLeaves(1, x.Leaves))
		return appendLeaves(b, 1, x.Leaves)
	case Adjust:
		size := 0
		for i := range x.Changes {
			size += sizeHead(1, sizeAdjustment(&x.Changes[i]))
		}
		b = appendHead(b, fieldAdjust, size)
		for i := range x.Changes {
			b = appendAdjustment(b, &x.Changes[i])
		}
		return b
	case TextEdit:
		return appendTextEdit(b, &x)
	case Claim:
		return appendClaim(b, &x)
	case Complete:
		return appendComplete(b, &x)
	case Expire:
		return appendHead(b, fieldExpire, 0)
	case Erase:
		return appendHead(b, fieldErase, 0)
	case Erased:
		return appendHead(b, fieldErased, 0)
	case Unknown:
		b = appendHead(b, protowire.Number(x.Kind), len(x.Raw))
		return append(b, x.Raw...)
	default:
		panic("session: body of no known type")
	}
}

func appendOpen(b []byte, x Open) []byte {
	b = appendNumber(b, 1, uint64(x.Order))
	b = appendNumber(b, 2, uint64(x.TTL/time.Millisecond))
	for _, k := range slices.Sorted(maps.Keys(x.Labels)) {
		b = appendHead(b, 3, sizeText(1, k)+sizeText(2, x.Labels[k]))
		b = appendText(b, 1, k)
		b = appendText(b, 2, x.Labels[k])
	}
	return appendLeaves(b, 4, x.Context)
}

func sizeOpen(x Open) int {
	n := sizeNumber(1, uint64(x.Order)) + sizeNumber(2, uint64(x.TTL/time.Millisecond))
	for k, v := range x.Labels {
		n += sizeHead(3, sizeText(1, k)+sizeText(2, v))
	}
	return n + sizeLeaves(4, x.Context)
}

func appendPut(b []byte, x *Put) []byte {
	b = appendText(b, 1, x.ID)
	b = appendText(b, 2, x.Parent)
	b = appendText(b, 3, x.Role)
	b = appendText(b, 4, x.Name)
	b = appendText(b, 5, x.ToolCallID)
	b = appendBytes(b, 6, x.Content)
	b = appendBytes(b, 7, x.ToolCalls)
	b = appendBytes(b, 8, x.Metadata)
	b = appendText(b, 9, x.CallOf)
	return appendNumber(b, 10, uint64(x.CallIndex))
}

func sizePut(x *Put) int {
	return sizeText(1, x.ID) + sizeText(2, x.Parent) + sizeText(3, x.Role) + sizeText(4, x.Name) +
		sizeText(5, x.ToolCallID) + sizeBytes(6, x.Content) + sizeBytes(7, x.ToolCalls) + sizeBytes(8, x.Metadata) +
		sizeText(9, x.CallOf) + sizeNumber(10, uint64(x.CallIndex))
}

func appendLeaves(b []byte, field protowire.Number, leaves []Leaf) []byte {
	for i := range leaves {
		l := &leaves[i]
		b = appendHead(b, field, sizeLeaf(l))
		b = appendText(b, 1, l.Path)
		b = appendBytes(b, 2, l.Value)
		b = appendNumber(b, 3, boolNumber(l.Deleted))
	}
	return b
}

func sizeLeaves(field protowire.Number, leaves []Leaf) int {
	n := 0
	for i := range leaves {
		n += sizeHead(field, sizeLeaf(&leaves[i]))
	}
	return n
}

func sizeLeaf(l *Leaf) int {
	return sizeText(1, l.Path) + sizeBytes(2, l.Value) + sizeNumber(3, boolNumber(l.Deleted))
}

func appendAdjustment(b []byte, c *Adjustment) []byte {
	b = appendHead(b, 1, sizeAdjustment(c))
	b = appendNumber(b, 1, uint64(c.Kind))
	b = appendText(b, 2, c.Path)
	b = appendNumber(b, 3, protowire.EncodeZigZag(c.By))
	return appendBytes(b, 4, c.Value)
}

func sizeAdjustment(c *Adjustment) int {
	return sizeNumber(1, uint64(c.Kind)) + sizeText(2, c.Path) +
		sizeNumber(3, protowire.EncodeZigZag(c.By)) + sizeBytes(4, c.Value)
}

func appendHead(b []byte, field protowire.Number, size int) []byte {
	b = protowire.AppendTag(b, field, protowire.BytesType)
	return protowire.AppendVarint(b, uint64(size))
}

func appendText(b []byte, field protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return append(appendHead(b, field, len(s)), s...)
}

func appendBytes(b []byte, field protowire.Number, s []byte) []byte {
	if len(s) == 0 {
		return b
	}
	return append(appendHead(b, field, len(s)), s...)
}

func appendNumber(b []byte, field protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, field, protowire.VarintType), n)
}

func sizeHead(field protowire.Number, size int) int {
	return protowire.SizeTag(field) + protowire.SizeBytes(size)
}

func sizeText(field protowire.Number, s string) int {
	if s == "" {
		return 0
	}
	return sizeHead(field, len(s))
}

func sizeBytes(field protowire.Number, s []byte) int {
	if len(s) == 0 {
		return 0
	}
	return sizeHead(field, len(s))
}

func sizeNumber(field protowire.Number, n uint64) int {
	if n == 0 {
		return 0
	}
	return protowire.SizeTag(field) + protowire.SizeVarint(n)
}

func boolNumber(b bool) uint64 {
	if b {
		return 1
	}
	return 0
}

// stampOf checks and puts together a stamp that came over the wire.
func stampOf(wall, logical, trust uint64) (clocksync.Stamp, error) {
	if wall > clocksync.MaxWall || logical > math.MaxUint16 || trust > uint64(clocksync.Synced) {
		return clocksync.Stamp{}, fmt.Errorf("stamp out of range: %w", ErrMalformed)
	}
	return clocksync.Stamp{Wall: wall, Logical: uint16(logical), Trust: clocksync.Trust(trust)}, nil
}
