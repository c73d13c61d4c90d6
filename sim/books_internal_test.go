package sim

import (
	"strings"
	"testing"

	"github.com/causeway-sync/causeway/vclock"
)

// Books that fit are passed, and each way in which records contradict each other
// is told.
func TestBooksAreAudited(t *testing.T) {
	t.Parallel()
	dot := func(seq vclock.Seq) vclock.Dot { return vclock.Dot{Origin: "a~1", Seq: seq} }
	sound := func() *books {
		return &books{
			heads:   map[vclock.Origin]vclock.Seq{"a~1": 3},
			ops:     []filed{{dot(1), "s", 1, false}, {dot(2), "s", 2, false}, {dot(3), "s", 0, false}},
			waiting: map[vclock.Dot]bool{dot(3): true}, counted: 1,
		}
	}
	for name, test := range map[string]struct {
		spoil func(*books)
		want  string // empty: nothing is wrong
	}{
		"sound":                {func(*books) {}, ""},
		"put back, no place":   {func(b *books) { b.ops[1].slot, b.ops[1].put = 0, true }, ""},
		"behind the head":      {func(b *books) { b.heads["a~1"] = 2 }, "behind the end of its feed"},
		"gap":                  {func(b *books) { b.ops = b.ops[1:] }, "follows 0"},
		"lost its place":       {func(b *books) { b.ops[1].slot = 0 }, "neither in session s nor noted"},
		"note stays":           {func(b *books) { b.ops[2].slot = 3 }, "in session s and noted"},
		"one place for two":    {func(b *books) { b.ops[1].slot = 1 }, "have one place, 1"},
		"note of nothing":      {func(b *books) { b.waiting[dot(9)] = true }, "1 notes are of no op"},
		"counted once more":    {func(b *books) { b.counted++ }, "1 more ops are counted"},
		"counted once less":    {func(b *books) { b.counted-- }, "-1 more ops are counted"},
		"waits without a note": {func(b *books) { delete(b.waiting, dot(3)) }, "neither in session s nor noted"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := sound()
			test.spoil(b)
			got := strings.Join(b.audit(), "; ")
			if test.want == "" && got != "" || !strings.Contains(got, test.want) {
				t.Errorf("audit() = %q, want %q in it", got, test.want)
			}
		})
	}
}
