package protocol

import (
	"fmt"
	"time"
	"unicode/utf8"

	"google.golang.org/protobuf/encoding/protowire"

	"github.com/causeway-sync/causeway/vclock"
)

// field is one field of an encoded message.
type field struct {
	num  protowire.Number
	typ  protowire.Type
	word uint64 // value of a varint or fixed field
	data []byte // value of a bytes field
}

// eachField calls do for every field of b until one fails. Fields that do does
// not know are of a later version and are skipped.
func eachField(b []byte, do func(field) error) error {
	for len(b) > 0 {
		num, typ, n := protowire.ConsumeTag(b)
		if n < 0 {
			return fmt.Errorf("tag: %w", ErrMalformed)
		}
		b = b[n:]
		f := field{num: num, typ: typ}
		switch typ {
		case protowire.VarintType:
			f.word, n = protowire.ConsumeVarint(b)
		case protowire.BytesType:
			f.data, n = protowire.ConsumeBytes(b)
		case protowire.Fixed32Type:
			var w uint32
			w, n = protowire.ConsumeFixed32(b)
			f.word = uint64(w)
		case protowire.Fixed64Type:
			f.word, n = protowire.ConsumeFixed64(b)
		default:
			return fmt.Errorf("group: %w", ErrMalformed)
		}
		if n < 0 {
			return fmt.Errorf("field %d: %w", num, ErrMalformed)
		}
		b = b[n:]
		if err := do(f); err != nil {
			return err
		}
	}
	return nil
}

func (f field) malformed(what string) error {
	return fmt.Errorf("field %d, %s: %w", f.num, what, ErrMalformed)
}

func (f field) uint() (uint64, error) {
	if f.typ != protowire.VarintType {
		return 0, f.malformed("want a number")
	}
	return f.word, nil
}

func (f field) fixed64() (uint64, error) {
	if f.typ != protowire.Fixed64Type {
		return 0, f.malformed("want eight bytes")
	}
	return f.word, nil
}

func (f field) bool() (bool, error) {
	n, err := f.uint()
	return n != 0, err
}

func (f field) count() (int, error) {
	n, err := f.uint()
	if err == nil && n > MaxCount {
		return 0, fmt.Errorf("field %d is %d: %w", f.num, n, ErrTooBig)
	}
	return int(n), err
}

func (f field) seq() (vclock.Seq, error) {
	n, err := f.uint()
	if err == nil && n > MaxSeq {
		return 0, fmt.Errorf("field %d is %d: %w", f.num, n, ErrTooBig)
	}
	return vclock.Seq(n), err
}

func (f field) millis() (time.Duration, error) {
	n, err := f.uint()
	if err == nil && n > uint64(24*time.Hour/time.Millisecond) {
		return 0, fmt.Errorf("field %d is %d ms: %w", f.num, n, ErrTooBig)
	}
	return time.Duration(n) * time.Millisecond, err
}

func (f field) bytes() ([]byte, error) {
	if f.typ != protowire.BytesType {
		return nil, f.malformed("want bytes")
	}
	return f.data, nil
}

func (f field) text(most int) (string, error) {
	b, err := f.bytes()
	switch {
	case err != nil:
		return "", err
	case len(b) > most:
		return "", fmt.Errorf("field %d has %d bytes: %w", f.num, len(b), ErrTooBig)
	case !utf8.Valid(b):
		return "", f.malformed("not UTF-8")
	}
	return string(b), nil
}

// name reads a name; absent names are caught by whoever needs them.
func (f field) name() (string, error) {
	s, err := f.text(MaxNameBytes)
	if err == nil && s != "" && !validName(s) {
		return "", f.malformed("not a name")
	}
	return s, err
}

func (f field) origin() (vclock.Origin, error) {
	s, err := f.text(vclock.MaxOriginBytes)
	if err == nil && s != "" && !validOrigin(vclock.Origin(s)) {
		return "", f.malformed("not an origin")
	}
	return vclock.Origin(s), err
}

func (f field) chain() (Chain, error) {
	b, err := f.bytes()
	if err != nil {
		return Chain{}, err
	}
	if len(b) != len(Chain{}) {
		return Chain{}, f.malformed("not a hash")
	}
	return Chain(b), nil
}

func (f field) vector() (vclock.Vector, error) {
	b, err := f.bytes()
	if err != nil {
		return vclock.Vector{}, err
	}
	v, rest, err := vclock.Decode(b)
	if err != nil || len(rest) > 0 {
		return vclock.Vector{}, f.malformed("not a vector")
	}
	return v, nil
}

// seqs reads a packed list of numbers, or one that is not packed, into list.
func (f field) seqs(list []vclock.Seq, most int) ([]vclock.Seq, error) {
	if f.typ == protowire.VarintType {
		n, err := f.seq()
		if err == nil && len(list) == most {
			err = fmt.Errorf("field %d has more than %d numbers: %w", f.num, most, ErrTooBig)
		}
		return append(list, n), err
	}
	b, err := f.bytes()
	for err == nil && len(b) > 0 {
		word, n := protowire.ConsumeVarint(b)
		if n < 0 {
			return list, f.malformed("packed numbers")
		}
		b = b[n:]
		list, err = field{num: f.num, typ: protowire.VarintType, word: word}.seqs(list, most)
	}
	return list, err
}

// Writers leave out zero values, as proto3 does.

func putUint(b []byte, num protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendVarint(protowire.AppendTag(b, num, protowire.VarintType), n)
}

func putFixed64(b []byte, num protowire.Number, n uint64) []byte {
	if n == 0 {
		return b
	}
	return protowire.AppendFixed64(protowire.AppendTag(b, num, protowire.Fixed64Type), n)
}

func putBool(b []byte, num protowire.Number, v bool) []byte {
	if !v {
		return b
	}
	return putUint(b, num, 1)
}

func putString(b []byte, num protowire.Number, s string) []byte {
	if s == "" {
		return b
	}
	return protowire.AppendString(protowire.AppendTag(b, num, protowire.BytesType), s)
}

func putBytes(b []byte, num protowire.Number, v []byte) []byte {
	if len(v) == 0 {
		return b
	}
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), v)
}

func putChain(b []byte, num protowire.Number, c Chain) []byte {
	if c == (Chain{}) {
		return b
	}
	return putBytes(b, num, c[:])
}

// putNested appends what fill writes as one field, also when that is nothing.
func putNested(b []byte, num protowire.Number, fill func([]byte) []byte) []byte {
	return protowire.AppendBytes(protowire.AppendTag(b, num, protowire.BytesType), fill(nil))
}
