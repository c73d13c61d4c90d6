package text

import (
	"bytes"
	"compress/flate"
	"encoding/binary"
	"fmt"
	"hash/crc32"
	"io"
	"math"
	"slices"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/vclock"
)

// The history of a document in bytes: magic, format, tie rule, the agents'
// names, then columns, then a CRC-32C of everything before it. A column is its
// length as it is, its length as written, and its bytes, deflated if that is
// shorter. The columns, all of unsigned varints but the last:
//
//	graph    per entry: agent ×2 + 1 if its only parent is the event before it,
//	         number of events, else number of parents and how far back each is
//	kinds    per run: number of events ×4 + kind
//	places   per run: distance of pos from where the run before would go on
//	text     what inserts insert, UTF-8
//
// A snapshot is: magic, format, tie rule, number of events, heads, vector,
// length and bytes of the text, CRC-32C.
const (
	historyMagic  = "cwtH"
	snapshotMagic = "cwtS"
	formatVersion = 1
)

// castagnoli makes the checksums.
var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// savedState is what a snapshot says of a history that is not read yet.
type savedState struct {
	events  lv
	heads   Version
	vector  vclock.Vector
	history func() ([]byte, error)
}

// AppendHistory appends the whole history to b: all events, not the text. It
// fails only where an unread history cannot be read.
func (d *Doc) AppendHistory(b []byte) ([]byte, error) {
	if err := d.load(); err != nil {
		return nil, err
	}
	start := len(b)
	b = append(b, historyMagic...)
	b = append(b, formatVersion, TieRule)
	b = binary.AppendUvarint(b, uint64(len(d.g.agents)))
	for _, name := range d.g.agents {
		b = appendString(b, string(name))
	}
	kinds, places := d.o.columns()
	for _, c := range [][]byte{d.g.column(), kinds, places, d.o.text} {
		var err error
		if b, err = appendColumn(b, c); err != nil {
			return nil, err
		}
	}
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli)), nil
}

func (g *graph) column() []byte {
	var b []byte
	for i := range g.entries {
		e := &g.entries[i]
		parents := g.parentsAt(e)
		plain := len(parents) == 1 && parents[0] == e.from-1
		head := uint64(e.agent) * 2
		if plain {
			head++
		}
		b = binary.AppendUvarint(b, head)
		b = binary.AppendUvarint(b, uint64(e.to-e.from))
		if plain {
			continue
		}
		b = binary.AppendUvarint(b, uint64(len(parents)))
		for _, p := range parents {
			b = binary.AppendUvarint(b, uint64(e.from-p))
		}
	}
	return b
}

// goesOn is where the run behind r would begin if it went on like r.
func (r *opRun) goesOn() int32 {
	switch r.kind {
	case opInsert:
		return r.pos + r.n
	case opBackspace:
		return r.pos - r.n
	}
	return r.pos
}

func (o *oplog) columns() (kinds, places []byte) {
	at := int32(0)
	for i := range o.runs {
		r := &o.runs[i]
		kinds = binary.AppendUvarint(kinds, uint64(r.n)<<2|uint64(r.kind))
		places = binary.AppendVarint(places, int64(r.pos-at))
		at = r.goesOn()
	}
	return kinds, places
}

// deflateBytes is the shortest column worth deflating.
const deflateBytes = 128

func appendColumn(b, column []byte) ([]byte, error) {
	if len(column) < deflateBytes {
		b = binary.AppendUvarint(b, uint64(len(column)))
		return appendString(b, string(column)), nil
	}
	var packed bytes.Buffer
	w, err := flate.NewWriter(&packed, flate.BestCompression)
	if err != nil {
		return nil, fmt.Errorf("encode history: %w", err)
	}
	if _, err := w.Write(column); err != nil {
		return nil, fmt.Errorf("encode history: %w", err)
	}
	if err := w.Close(); err != nil {
		return nil, fmt.Errorf("encode history: %w", err)
	}
	written := packed.Bytes()
	if len(written) >= len(column) {
		written = column
	}
	b = binary.AppendUvarint(b, uint64(len(column)))
	return appendString(b, string(written)), nil
}

// column reads a column that is at most most long.
func (in *reader) column(most int) []byte {
	n := int(in.uvarint(uint64(most)))
	written := in.take(int(in.uvarint(uint64(n))))
	if in.err != nil || len(written) == n {
		return written
	}
	var b bytes.Buffer
	_, err := io.Copy(&b, io.LimitReader(flate.NewReader(bytes.NewReader(written)), int64(n)+1))
	in.want(err == nil && b.Len() == n)
	return b.Bytes()
}

// sealed checks magic, checksum and versions and returns what lies between.
func sealed(b []byte, magic string) (reader, error) {
	const frame = len(historyMagic) + 2 + crc32.Size
	if len(b) < frame || len(b) > MaxHistoryBytes || string(b[:len(magic)]) != magic {
		return reader{}, fmt.Errorf("%d bytes without %q: %w", len(b), magic, ErrCorrupt)
	}
	body, sum := b[:len(b)-crc32.Size], b[len(b)-crc32.Size:]
	if crc32.Checksum(body, castagnoli) != binary.LittleEndian.Uint32(sum) {
		return reader{}, fmt.Errorf("checksum: %w", ErrCorrupt)
	}
	if format, tie := body[len(magic)], body[len(magic)+1]; format != formatVersion || tie != TieRule {
		return reader{}, fmt.Errorf("format %d, tie rule %d: %w", format, tie, ErrVersion)
	}
	return reader{b: body[len(magic)+2:]}, nil
}

// Decode reads what [Doc.AppendHistory] wrote and runs it to get the text. It
// checks everything that [Doc.Apply] checks. It returns ErrCorrupt for bytes
// that no document wrote and ErrVersion for a newer format.
func Decode(history []byte) (*Doc, error) {
	d := New()
	if err := d.decode(history); err != nil {
		return nil, fmt.Errorf("decode history: %w", err)
	}
	d.ReplayLimit = math.MaxInt // it was taken in piece by piece
	out, err := d.replay(0)
	d.ReplayLimit = 0
	if err != nil {
		return nil, fmt.Errorf("decode history: %w", err)
	}
	for _, e := range d.edits(out) {
		d.text.delete(int32(e.Pos), int32(e.Del))
		if e.Ins != "" {
			d.text.insert(int32(e.Pos), e.Ins)
		}
	}
	return d, nil
}

func (d *Doc) decode(history []byte) error {
	in, err := sealed(history, historyMagic)
	if err != nil {
		return err
	}
	for range in.uvarint(MaxAgents) {
		name := vclock.Origin(in.string(vclock.MaxOriginBytes))
		in.want(name != "" && d.g.agent(name) == none)
		if in.err != nil {
			return in.err
		}
		d.g.addAgent(name)
	}
	const most = MaxEvents * 4
	entries := reader{b: in.column(most)}
	kinds, places := reader{b: in.column(most)}, reader{b: in.column(most)}
	text := in.column(MaxTextBytes)
	in.want(len(in.b) == 0)
	if in.err != nil {
		return in.err
	}
	for len(entries.b) > 0 && entries.err == nil {
		if err := d.decodeEntry(&entries); err != nil {
			return err
		}
	}
	if entries.err != nil {
		return entries.err
	}
	return d.decodeOps(&kinds, &places, text)
}

func (d *Doc) decodeEntry(in *reader) error {
	head := in.uvarint(MaxAgents * 2)
	n := in.uvarint(MaxEvents)
	from := d.g.size()
	in.want(n > 0 && int(from)+int(n) <= MaxEvents && head>>1 < uint64(len(d.g.agents)))
	var parents []lv
	if head&1 == 1 {
		in.want(from > 0)
		parents = []lv{from - 1}
	} else {
		count := in.uvarint(MaxParents)
		in.want(count <= uint64(len(in.b)))
		for range count {
			if in.err != nil {
				return in.err
			}
			back := lv(in.uvarint(math.MaxInt32))
			in.want(back > 0 && back <= from)
			parents = append(parents, from-back)
		}
		in.want(slices.IsSorted(parents) && (len(parents) != 1 || parents[0] != from-1))
	}
	if in.err != nil {
		return in.err
	}
	a := int32(head >> 1)
	r := Run{ID: vclock.Dot{Origin: d.g.agents[a], Seq: d.g.count(a) + 1}}
	if err := d.admit(&r, a, parents); err != nil {
		return err
	}
	d.g.add(a, int32(n), parents)
	return nil
}

func (d *Doc) decodeOps(kinds, places *reader, text []byte) error {
	if !utf8.Valid(text) {
		return ErrUTF8
	}
	at, pos := lv(0), int64(0)
	for len(kinds.b) > 0 {
		k := kinds.uvarint(MaxEvents<<2 | 3)
		kind, n := opKind(k&3), lv(k>>2)
		kinds.want(kind <= opBackspace && n > 0 && n <= d.g.size()-at)
		step, size := binary.Varint(places.b)
		kinds.want(size > 0)
		if kinds.err != nil {
			return kinds.err
		}
		places.b = places.b[size:]
		pos += step
		kinds.want(step > -MaxPos*2 && step < MaxPos*2 && pos >= 0 && pos <= MaxPos)
		if kinds.err != nil {
			return kinds.err
		}
		r := opRun{at, int32(n), kind, int32(pos), 0}
		if kind == opInsert {
			end := skip(text, int(n))
			if m := measure(text[:end]); m[CodePoints] != int32(n) {
				return fmt.Errorf("text is short: %w", ErrCorrupt)
			}
			d.o.insert(at, r.n, r.pos, string(text[:end]))
			text = text[end:]
		} else {
			d.o.delete(at, r.n, r.pos, kind)
		}
		pos = int64(r.goesOn())
		at += n
	}
	if at != d.g.size() || len(text) > 0 || len(places.b) > 0 {
		return fmt.Errorf("columns differ in length: %w", ErrCorrupt)
	}
	return nil
}

// AppendSnapshot appends the text and its version to b: all that [Open] needs
// to show the text.
func (d *Doc) AppendSnapshot(b []byte) []byte {
	start := len(b)
	b = append(b, snapshotMagic...)
	b = append(b, formatVersion, TieRule)
	events := d.g.size()
	if d.saved != nil {
		events = d.saved.events
	}
	b = binary.AppendUvarint(b, uint64(events))
	b = appendVersion(b, d.Version())
	b = d.Vector().AppendBinary(b)
	b = appendString(b, d.String())
	return binary.LittleEndian.AppendUint32(b, crc32.Checksum(b[start:], castagnoli))
}

// Open reads what [Doc.AppendSnapshot] wrote. The text can be read at once;
// history is called when something needs the events: an edit, Apply, Since. It
// gives what [Doc.AppendHistory] wrote of the same document at the same
// version; any other is ErrCorrupt then. It returns ErrCorrupt and ErrVersion
// like [Decode].
func Open(snapshot []byte, history func() ([]byte, error)) (*Doc, error) {
	in, err := sealed(snapshot, snapshotMagic)
	if err != nil {
		return nil, fmt.Errorf("open snapshot: %w", err)
	}
	s := &savedState{history: history}
	s.events = lv(in.uvarint(MaxEvents))
	s.heads = in.version()
	if in.err == nil {
		s.vector, in.b, err = vclock.Decode(in.b)
		in.want(err == nil)
	}
	text := in.string(MaxTextBytes)
	in.want(len(in.b) == 0)
	if in.err != nil {
		return nil, fmt.Errorf("open snapshot: %w", in.err)
	}
	if !utf8.ValidString(text) {
		return nil, fmt.Errorf("open snapshot: %w", ErrUTF8)
	}
	return &Doc{g: newGraph(), o: &oplog{}, text: newRope(text), saved: s}, nil
}

// load reads the history of an opened document.
func (d *Doc) load() error {
	s := d.saved
	if s == nil {
		return nil
	}
	history, err := s.history()
	if err != nil {
		return fmt.Errorf("read history: %w", err)
	}
	whole := New()
	if err := whole.decode(history); err != nil {
		return fmt.Errorf("read history: %w", err)
	}
	if whole.g.size() != s.events || !slices.Equal(whole.Version(), s.heads) {
		return fmt.Errorf("read history: it is not that of the snapshot: %w", ErrCorrupt)
	}
	d.g, d.o, d.saved = whole.g, whole.o, nil
	return nil
}
