package session

import (
	"bytes"
	"context"
	"encoding/hex"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/bufbuild/protocompile"
	"google.golang.org/protobuf/proto"
	"google.golang.org/protobuf/reflect/protoreflect"
	"google.golang.org/protobuf/types/dynamicpb"
	"pgregory.net/rapid"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

// sampleOps has one op of each kind with every field set.
func sampleOps() []Op {
	bodies := []Body{
		Open{
			Order: Chat, TTL: 90 * time.Second, Labels: map[string]string{"b": "2", "a": ""},
			Context: []Leaf{{Path: "/a", Value: []byte(`[1]`)}, {Path: "/b~1c", Deleted: true}},
		},
		Transition{To: Ended, Epoch: 300},
		Put{
			ID: "m1", Parent: "edge-1~k3x9a0qz.4", Role: "assistant", Name: "bot", ToolCallID: "t-1",
			Content: []byte(`"héllo"`), ToolCalls: []byte(`[{"id":1}]`), Metadata: []byte(`{"x":null}`),
		},
		Put{Role: "user"},
		Edit{Message: "m1", Content: []byte(`"other"`), Metadata: []byte(`{}`)},
		Redact{Message: "m1"},
		Set{Leaves: []Leaf{{Path: "/n", Value: []byte(`1e400`)}}},
		Adjust{Changes: []Adjustment{
			{Kind: CounterAdd, Path: "/n", By: -5}, {Kind: SetInsert, Path: "/s", Value: []byte(`"x"`)},
			{Kind: SetRemove, Path: "/s", Value: []byte(`{"a":1}`)},
		}},
		Expire{}, Erase{}, Erased{}, Unknown{Kind: 99, Raw: []byte{0xff, 0, 1}}, Unknown{Kind: 29},
		TextEdit{Name: "notes", Edits: []text.Edit{{Pos: 300, Del: 2, Ins: "é😀"}, {Del: 1}, {Ins: "x"}}}, TextEdit{Name: "n"},
		Put{Role: "tool", Content: []byte(`1`), CallOf: "m1", CallIndex: 3},
		Claim{Key: "m1:3", By: "agent 7", Call: "c1", Tool: "pay", Over: vclock.Dot{Origin: "edge-2~aaaaaaaa", Seq: 9}, Arbitrated: true},
		Claim{Key: "m1:0", By: "x"},
		Complete{Claim: vclock.Dot{Origin: "edge-2~aaaaaaaa", Seq: 300}, Result: []byte(`{"ok":true}`), Failed: true},
	}
	var ops []Op
	for i, body := range bodies {
		op := Op{
			Dot: vclock.Dot{Origin: "edge-1~k3x9a0qz", Seq: vclock.Seq(i + 1)}, Space: "default", Session: "s-81",
			Stamp: clocksync.Stamp{Wall: 1_760_000_000_000 + uint64(i), Logical: uint16(i), Trust: clocksync.Synced},
			Body:  body,
		}
		if i%2 == 0 {
			op.Deps = vclock.Of(vclock.Dot{Origin: "edge-2~aaaaaaaa", Seq: 7}, vclock.Dot{Origin: "core-1~bbbbbbbb", Seq: 1 << 40})
			op.Actor, op.Key, op.KeyIndex, op.Request = "ann", "key 1", 3, Digest{1, 2, 15: 9}
		}
		ops = append(ops, op)
	}
	return ops
}

func encode(tb testing.TB, op *Op) []byte {
	tb.Helper()
	b, err := op.Append([]byte("before"))
	if err != nil {
		tb.Fatalf("Append(%+v): %v", op, err)
	}
	b, ok := bytes.CutPrefix(b, []byte("before"))
	if !ok {
		tb.Fatalf("Append changed what was there")
	}
	return b
}

func TestDecodeReadsWhatAppendWrote(t *testing.T) {
	t.Parallel()
	for _, op := range sampleOps() {
		b := encode(t, &op)
		got, err := DecodeOp(b)
		if err != nil {
			t.Errorf("DecodeOp(%x) of %T: %v", b, op.Body, err)
		} else if !reflect.DeepEqual(got, op) {
			t.Errorf("DecodeOp(Append(%+v)) = %+v", op, got)
		}
	}
}

func TestGoldenBytes(t *testing.T) {
	t.Parallel()
	var out strings.Builder
	for _, op := range sampleOps() {
		fmt.Fprintf(&out, "%T\n%s\n", op.Body, hex.EncodeToString(encode(t, &op)))
	}
	path := filepath.Join("testdata", "ops.golden")
	if os.Getenv("UPDATE") == "1" {
		if err := os.MkdirAll("testdata", 0o755); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, []byte(out.String()), 0o644); err != nil {
			t.Fatal(err)
		}
	}
	want, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	if out.String() != string(want) {
		t.Errorf("bytes of ops changed; got\n%swant\n%s", out.String(), want)
	}
}

// descriptor compiles op.proto.
func descriptor(tb testing.TB) protoreflect.MessageDescriptor {
	tb.Helper()
	c := protocompile.Compiler{Resolver: &protocompile.SourceResolver{}}
	files, err := c.Compile(context.Background(), "op.proto")
	if err != nil {
		tb.Fatalf("compile op.proto: %v", err)
	}
	return files[0].Messages().ByName("Op")
}

// op.proto is the specification: a protobuf library that was given it reads
// our bytes without anything unknown, and we read what it writes.
func TestBytesAreThoseOfTheProtoFile(t *testing.T) {
	t.Parallel()
	desc := descriptor(t)
	for _, op := range sampleOps() {
		if _, unknown := op.Body.(Unknown); unknown {
			continue
		}
		b := encode(t, &op)
		m := dynamicpb.NewMessage(desc)
		if err := proto.Unmarshal(b, m); err != nil {
			t.Fatalf("protobuf cannot read %T: %v", op.Body, err)
		}
		if rest := unknownFields(m); rest != "" {
			t.Errorf("%T has fields that op.proto does not know: %s", op.Body, rest)
		}
		field := func(name protoreflect.Name) protoreflect.Value { return m.Get(desc.Fields().ByName(name)) }
		if got := field("session").String(); got != op.Session {
			t.Errorf("session = %q", got)
		}
		if got := field("seq").Uint(); got != uint64(op.Dot.Seq) {
			t.Errorf("seq = %d", got)
		}
		if set := m.WhichOneof(desc.Oneofs().ByName("body")); set == nil || !strings.EqualFold(strings.ReplaceAll(string(set.Name()), "_", ""), bodyName(op.Body)) {
			t.Errorf("body of %T is %v", op.Body, set)
		}
		for range 5 { // the library may write fields in another order
			theirs, err := proto.MarshalOptions{Deterministic: false}.Marshal(m)
			if err != nil {
				t.Fatal(err)
			}
			got, err := DecodeOp(theirs)
			if err != nil || !reflect.DeepEqual(got, op) {
				t.Errorf("DecodeOp of protobuf's bytes = %+v, %v, want %+v", got, err, op)
			}
		}
	}
}

func bodyName(b Body) string { return strings.TrimPrefix(fmt.Sprintf("%T", b), "session.") }

func unknownFields(m protoreflect.Message) string {
	var found strings.Builder
	found.WriteString(string(m.GetUnknown()))
	m.Range(func(f protoreflect.FieldDescriptor, v protoreflect.Value) bool {
		switch {
		case f.Message() == nil:
		case f.IsList():
			for i := range v.List().Len() {
				found.WriteString(unknownFields(v.List().Get(i).Message()))
			}
		default:
			found.WriteString(unknownFields(v.Message()))
		}
		return true
	})
	return found.String()
}

func TestDecodeToleratesExtraFields(t *testing.T) {
	t.Parallel()
	for _, op := range sampleOps() {
		b := encode(t, &op)
		for _, extra := range [][]byte{{13 << 3, 5}, {0x82, 0x08, 2, 'h', 'i'}} { // field 13; field 128
			got, err := DecodeOp(slices.Concat(extra, b))
			if err != nil || !reflect.DeepEqual(got, op) {
				t.Errorf("DecodeOp with an extra field = %+v, %v", got, err)
			}
		}
	}
}

func TestDecodeRefuses(t *testing.T) {
	t.Parallel()
	good := sampleOps()[3]
	alter := func(f func(op *Op)) []byte { // encodes without looking
		op := good
		f(&op)
		b := appendText(nil, fieldOrigin, string(op.Dot.Origin))
		b = appendNumber(b, fieldSeq, uint64(op.Dot.Seq))
		b = appendText(b, fieldSpace, op.Space)
		b = appendText(b, fieldSession, op.Session)
		b = appendVectorField(b, op.Deps)
		b = appendNumber(b, fieldWall, op.Stamp.Wall)
		b = appendText(b, fieldActor, op.Actor)
		b = appendText(b, fieldKey, op.Key)
		b = appendNumber(b, fieldKeyIndex, uint64(op.KeyIndex))
		if op.Body != nil {
			b = appendBody(b, op.Body)
		}
		return b
	}
	plain := alter(func(*Op) {})
	if _, err := DecodeOp(plain); err != nil {
		t.Fatalf("DecodeOp of the good one: %v", err)
	}
	deep := strings.Repeat("[", MaxJSONDepth+1) + strings.Repeat("]", MaxJSONDepth+1)
	cases := map[string][]byte{
		"empty":            {},
		"cut":              plain[:len(plain)-1],
		"too long":         append(bytes.Clone(plain), make([]byte, MaxOpBytes)...),
		"two bodies":       append(bytes.Clone(plain), 0xca, 1, 0),
		"no body":          alter(func(op *Op) { op.Body = nil }),
		"no origin":        alter(func(op *Op) { op.Dot.Origin = "" }),
		"zero in origin":   alter(func(op *Op) { op.Dot.Origin = "a\x00b" }),
		"seq 0":            alter(func(op *Op) { op.Dot.Seq = 0 }),
		"bad space":        alter(func(op *Op) { op.Space = "a/b" }),
		"bad session":      alter(func(op *Op) { op.Session = "" }),
		"depends on self":  alter(func(op *Op) { op.Deps = vclock.Of(op.Dot) }),
		"stamp":            alter(func(op *Op) { op.Stamp.Wall = clocksync.MaxWall + 1 }),
		"actor not UTF-8":  alter(func(op *Op) { op.Actor = "\xff" }),
		"long key":         alter(func(op *Op) { op.Key = strings.Repeat("k", MaxKeyBytes+1) }),
		"index, no key":    alter(func(op *Op) { op.KeyIndex = 1 }),
		"no role":          alter(func(op *Op) { op.Body = Put{} }),
		"reserved id":      alter(func(op *Op) { op.Body = Put{Role: "user", ID: "edge-1~k3x9a0qz.4"} }),
		"keyed id":         alter(func(op *Op) { op.Body = Put{Role: "user", ID: "k~abc"} }),
		"content not JSON": alter(func(op *Op) { op.Body = Put{Role: "user", Content: []byte("hi")} }),
		"content too deep": alter(func(op *Op) { op.Body = Put{Role: "user", Content: []byte(deep)} }),
		"content too big": alter(func(op *Op) {
			op.Body = Put{Role: "user", Content: []byte(`"` + strings.Repeat("x", MaxMessageBytes) + `"`)}
		}),
		"edit nothing":   alter(func(op *Op) { op.Body = Edit{Message: "m"} }),
		"state":          alter(func(op *Op) { op.Body = Transition{To: 4} }),
		"order":          alter(func(op *Op) { op.Body = Open{Order: 2} }),
		"root leaf":      alter(func(op *Op) { op.Body = Set{Leaves: []Leaf{{Path: "", Value: []byte("1")}}} }),
		"bad pointer":    alter(func(op *Op) { op.Body = Set{Leaves: []Leaf{{Path: "/a~2", Value: []byte("1")}}} }),
		"leaf twice":     alter(func(op *Op) { op.Body = Set{Leaves: []Leaf{{Path: "/a", Deleted: true}, {Path: "/a", Deleted: true}}} }),
		"leaf without":   alter(func(op *Op) { op.Body = Set{Leaves: []Leaf{{Path: "/a"}}} }),
		"leaf is object": alter(func(op *Op) { op.Body = Set{Leaves: []Leaf{{Path: "/a", Value: []byte(`{"b":1}`)}}} }),
		"adjust kind":    alter(func(op *Op) { op.Body = Adjust{Changes: []Adjustment{{Kind: 3, Path: "/a"}}} }),
	}
	for name, b := range cases {
		if op, err := DecodeOp(b); !errors.Is(err, ErrMalformed) || op.Body != nil {
			t.Errorf("%s: DecodeOp = %+v, %v, want ErrMalformed", name, op, err)
		}
	}
}

func FuzzDecodeOp(f *testing.F) {
	for _, op := range sampleOps() {
		f.Add(encode(f, &op))
	}
	f.Fuzz(func(t *testing.T, b []byte) {
		op, err := DecodeOp(b)
		if err != nil {
			if !errors.Is(err, ErrMalformed) {
				t.Fatalf("DecodeOp(%x): %v is not ErrMalformed", b, err)
			}
			return
		}
		again, err := op.Append(nil)
		if err != nil {
			t.Fatalf("Append of what DecodeOp gave for %x: %v", b, err)
		}
		second, err := DecodeOp(again)
		if err != nil || !reflect.DeepEqual(op, second) {
			t.Fatalf("DecodeOp(%x) = %+v, encoded and decoded: %+v, %v", b, op, second, err)
		}
		r := newReplica(t, "a") // whatever decodes can be applied and shown
		if !op.Deps.IsEmpty() {
			return
		}
		if err := r.apply(op, b); err != nil {
			t.Fatalf("Apply(%+v): %v", op, err)
		}
		ChangeOf(&op)
		if doc, err := View(r.tx, op.Space, op.Session); err == nil {
			marshal(t, doc)
		}
		if _, err := StateDigest(r.tx, op.Space, op.Session); err != nil { // it reads texts too
			t.Fatalf("StateDigest after %+v: %v", op, err)
		}
	})
}

func FuzzStoredRecords(f *testing.F) {
	m := meta{vector: vclock.Of(vclock.Dot{Origin: "a", Seq: 1}), firsts: []uint64{1}, slots: 1}
	f.Add(m.append(nil))
	e := entry{message: true, dot: vclock.Dot{Origin: "a", Seq: 1}, shown: vclock.Dot{Origin: "b", Seq: 1}}
	f.Add(e.append(nil))
	f.Fuzz(func(t *testing.T, b []byte) {
		if m, err := decodeMeta(nil, b); err == nil {
			if again, err := decodeMeta(nil, m.append(nil)); err != nil || !bytes.Equal(again.append(nil), m.append(nil)) {
				t.Fatalf("decodeMeta(%x) = %+v, again %v", b, m, err)
			}
		}
		_, _ = decodeEntry(nil, b)
		_, _ = decodeEdits(nil, b)
		_, _ = decodeDots(nil, b)
		_, _ = ParseRecord(nil, b)
		_, _ = parseExpiryKey(b)
		_, _ = parsePlace(string(b))
	})
}

func TestAppendDecodeProperty(t *testing.T) {
	t.Parallel()
	rapid.Check(t, func(t *rapid.T) {
		name := rapid.StringMatching(`[A-Za-z0-9][A-Za-z0-9._~:-]{0,20}`)
		words := rapid.String()
		op := Op{
			Dot:   vclock.Dot{Origin: vclock.Origin(name.Draw(t, "origin")), Seq: vclock.Seq(rapid.Uint64Min(1).Draw(t, "seq"))},
			Space: name.Draw(t, "space"), Session: name.Draw(t, "session"),
			Stamp: clocksync.Stamp{Wall: rapid.Uint64Max(clocksync.MaxWall).Draw(t, "wall"), Logical: rapid.Uint16().Draw(t, "logical")},
			Actor: rapid.StringN(0, 20, 80).Draw(t, "actor"),
			Body:  Put{Role: "user", Name: words.Draw(t, "name"), Content: mustEncode(words.Draw(t, "content"))},
		}
		for i := range rapid.IntRange(0, 40).Draw(t, "width") {
			op.Deps = op.Deps.With(vclock.Dot{Origin: vclock.Origin(fmt.Sprintf("%%%d", i)), Seq: 9})
		}
		b, err := op.Append(nil)
		if err != nil {
			t.Fatalf("Append(%+v): %v", op, err)
		}
		if got, err := DecodeOp(b); err != nil || !reflect.DeepEqual(got, op) {
			t.Fatalf("DecodeOp = %+v, %v, want %+v", got, err, op)
		}
	})
}

func benchOp() Op {
	op := sampleOps()[2]
	op.Body = Put{Parent: "edge-1~k3x9a0qz.4", Role: "user", Content: []byte(`"` + strings.Repeat("word ", 85) + `"`)}
	return op
}

func BenchmarkAppendOp(b *testing.B) {
	op := benchOp()
	buf := make([]byte, 0, 1024)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := op.Append(buf); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkDecodeOp(b *testing.B) {
	op := benchOp()
	enc := encode(b, &op)
	b.ReportAllocs()
	for b.Loop() {
		if _, err := DecodeOp(enc); err != nil {
			b.Fatal(err)
		}
	}
}

func BenchmarkAuthorMessage(b *testing.B) {
	var r *replica
	draft := say(strings.Repeat("word ", 85))
	b.ReportAllocs()
	for n := 0; b.Loop(); n++ {
		if n%512 == 0 {
			r = newReplica(b, "edge-1")
			r.do("s", OpenSession{})
		}
		r.do("s", Append{Messages: []Draft{draft}})
	}
}
