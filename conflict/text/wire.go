package text

import (
	"encoding/binary"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/vclock"
)

// Bits of the first byte of a run.
const (
	runKind     = 0x03 // an opKind
	runFollows  = 0x04 // its only parent is its agent's event before
	runSingle   = 0x08 // one event: no length follows
	runAgent    = 0x10 // the agent is written, as it is not the envelope's
	runReserved = 0xE0
)

// AppendRun appends the binary form of r to b. Where the agent is that of the
// envelope that carries the run, it is not written; "" if there is none. A
// keystroke takes some 8 bytes and its agent's name, if that is written. The
// form has one encoding for each run; numbers are unsigned varints.
func AppendRun(b []byte, r Run, envelope vclock.Origin) []byte {
	head := byte(r.kind())
	n := r.Len()
	follows := len(r.Parents) == 1 && r.Parents[0] == vclock.Dot{Origin: r.ID.Origin, Seq: r.ID.Seq - 1}
	if follows {
		head |= runFollows
	}
	if n == 1 {
		head |= runSingle
	}
	if r.ID.Origin != envelope {
		head |= runAgent
	}
	b = append(b, head)
	if r.ID.Origin != envelope {
		b = appendString(b, string(r.ID.Origin))
	}
	b = binary.AppendUvarint(b, uint64(r.ID.Seq))
	if !follows {
		b = appendVersion(b, r.Parents)
	}
	b = binary.AppendUvarint(b, uint64(r.Pos))
	switch {
	case r.Ins != "" && n == 1:
		return append(b, r.Ins...)
	case r.Ins != "":
		return appendString(b, r.Ins)
	case n > 1:
		return binary.AppendUvarint(b, uint64(n))
	}
	return b
}

// DecodeRun reads one run from the front of b and returns the rest. It returns
// ErrCorrupt for bytes that [AppendRun] cannot have written, and the refusal
// for a run that no replica takes. The run shares no memory with b.
func DecodeRun(b []byte, envelope vclock.Origin) (Run, []byte, error) {
	in := reader{b: b}
	head := in.byte()
	r := Run{ID: vclock.Dot{Origin: envelope}}
	if head&runAgent != 0 {
		r.ID.Origin = vclock.Origin(in.string(vclock.MaxOriginBytes))
		in.want(r.ID.Origin != envelope)
	}
	r.ID.Seq = vclock.Seq(in.uvarint(1 << 62))
	before := vclock.Dot{Origin: r.ID.Origin, Seq: r.ID.Seq - 1}
	if head&runFollows != 0 {
		in.want(r.ID.Seq > 1)
		r.Parents = Version{before}
	} else {
		r.Parents = in.version()
		in.want(len(r.Parents) != 1 || r.Parents[0] != before)
	}
	r.Pos = int(in.uvarint(MaxPos))
	single := head&runSingle != 0
	switch kind := opKind(head & runKind); {
	case kind == opInsert && single:
		_, n := utf8.DecodeRune(in.b)
		r.Ins = string(in.take(n))
		in.want(r.Ins != "")
	case kind == opInsert:
		r.Ins = in.string(MaxRunBytes)
		in.want(utf8.RuneCountInString(r.Ins) > 1)
	case single:
		r.Del = 1
		in.want(kind == opDelete)
	default:
		r.Del = int(in.uvarint(MaxRunEvents))
		r.Back = kind == opBackspace
		in.want(r.Del > 1 && kind <= opBackspace)
	}
	in.want(head&runReserved == 0)
	if in.err != nil {
		return Run{}, nil, fmt.Errorf("decode run: %w", in.err)
	}
	if err := r.check(); err != nil {
		return Run{}, nil, fmt.Errorf("decode run: %w", err)
	}
	return r, in.b, nil
}

func appendString(b []byte, s string) []byte {
	b = binary.AppendUvarint(b, uint64(len(s)))
	return append(b, s...)
}

func appendVersion(b []byte, v Version) []byte {
	b = binary.AppendUvarint(b, uint64(len(v)))
	for _, d := range v {
		b = appendString(b, string(d.Origin))
		b = binary.AppendUvarint(b, uint64(d.Seq))
	}
	return b
}

// AppendBinary appends the binary form of v to b.
func (v Version) AppendBinary(b []byte) []byte { return appendVersion(b, v) }

// DecodeVersion reads one version from the front of b and returns the rest. It
// returns ErrCorrupt for bytes that [Version.AppendBinary] cannot have written.
func DecodeVersion(b []byte) (Version, []byte, error) {
	in := reader{b: b}
	v := in.version()
	if in.err != nil {
		return nil, nil, fmt.Errorf("decode version: %w", in.err)
	}
	return v, in.b, nil
}

// reader takes values from the front of b until one is wrong; from then on it
// gives zeros.
type reader struct {
	b   []byte
	err error
}

func (in *reader) want(ok bool) {
	if !ok && in.err == nil {
		in.err = ErrCorrupt
		in.b = nil
	}
}

func (in *reader) take(n int) []byte {
	in.want(n >= 0 && n <= len(in.b))
	if in.err != nil {
		return nil
	}
	part := in.b[:n]
	in.b = in.b[n:]
	return part
}

func (in *reader) byte() byte {
	if b := in.take(1); len(b) == 1 {
		return b[0]
	}
	return 0
}

// uvarint reads a number that is at most most, in its shortest form.
func (in *reader) uvarint(most uint64) uint64 {
	n, size := binary.Uvarint(in.b)
	in.want(size > 0 && (size == 1 || in.b[size-1] != 0) && n <= most)
	if in.err != nil {
		return 0
	}
	in.b = in.b[size:]
	return n
}

func (in *reader) string(most int) string { return string(in.take(int(in.uvarint(uint64(most))))) }

func (in *reader) version() Version {
	n := in.uvarint(MaxParents)
	in.want(n <= uint64(len(in.b)/3))
	if in.err != nil || n == 0 {
		return nil
	}
	v := make(Version, 0, n)
	for range n {
		o := vclock.Origin(in.string(vclock.MaxOriginBytes))
		v = append(v, vclock.Dot{Origin: o, Seq: vclock.Seq(in.uvarint(1 << 62))})
		in.want(o != "" && v[len(v)-1].Seq > 0)
	}
	in.want(slices.IsSortedFunc(v, strictly))
	if in.err != nil {
		return nil
	}
	return v
}
