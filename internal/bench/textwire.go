package main

import (
	"fmt"
	"runtime"
	"runtime/debug"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/conflict/text/trace"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// wire measures what single keystrokes cost on the way: as ops of a session that
// two origins write to, one op a keystroke, 150 ms apart.
func (t *texts) wire() error {
	recorded, err := t.read("automerge-paper")
	if err != nil {
		return err
	}
	ops, beside, err := keystrokes(recorded, 64*protocol.MaxFrameOps)
	if err != nil {
		return err
	}
	whole := 0
	for _, op := range ops {
		whole += len(op)
	}
	each := func(bytes int) string { return fmt.Sprintf("%.1f", float64(bytes)/float64(len(ops))) }
	t.b.add(row{what: "9 text: bytes of a keystroke in its op", budget: "≤ 25", measured: each(beside),
		reference: each(whole) + " the whole op", verdict: judge(beside <= 25*len(ops))})
	for _, perFrame := range []int{1, 16, protocol.MaxFrameOps} {
		sent, err := framed(ops, perFrame)
		if err != nil {
			return err
		}
		r := row{what: fmt.Sprintf("9 text: bytes of a keystroke in frames of %d", perFrame), measured: each(sent)}
		if perFrame == protocol.MaxFrameOps {
			r.budget, r.verdict = "≤ 25", judge(sent <= 25*len(ops))
		}
		t.b.add(r)
	}
	return nil
}

// keystrokes encodes the first edits of a recording as ops, and counts the bytes
// that they have beside what any op has.
func keystrokes(recorded *trace.Trace, n int) (ops [][]byte, beside int, err error) {
	deps := vclock.Of(vclock.Dot{Origin: "edge-2~k3x9a0qz", Seq: 5_000})
	for _, txn := range recorded.Txns[:n] {
		op := session.Op{
			Dot:   vclock.Dot{Origin: "edge-1~7c3lu5xk", Seq: vclock.Seq(len(ops) + 1)},
			Space: "default", Session: "s-81", Deps: deps, Actor: "ann",
			Stamp: clocksync.Stamp{Wall: 1_760_000_000_000 + 150*uint64(len(ops)), Trust: clocksync.Synced},
			Body:  session.Expire{},
		}
		bare, err := op.Append(nil)
		if err != nil {
			return nil, 0, err
		}
		edit := session.TextEdit{Name: "draft"}
		for _, p := range txn.Patches {
			edit.Edits = append(edit.Edits, text.Edit(p))
		}
		op.Body = edit
		b, err := op.Append(nil)
		if err != nil {
			return nil, 0, err
		}
		ops, beside, deps = append(ops, b), beside+len(b)-len(bare), deps.With(op.Dot)
	}
	return ops, beside, nil
}

// framed counts the bytes of ops as they travel, compressed.
func framed(ops [][]byte, perFrame int) (bytes int, err error) {
	feed := protocol.Feed{Space: "default", Origin: "edge-1~7c3lu5xk"}
	var head protocol.Head
	for len(ops) > 0 {
		n := min(perFrame, len(ops))
		frame := protocol.NewFrame(feed, head, ops[:n])
		b, err := protocol.AppendFrame(nil, &frame, protocol.Zstd)
		if err != nil {
			return 0, err
		}
		bytes, head, ops = bytes+len(b), frame.Head(), ops[n:]
	}
	return bytes, nil
}

// memory measures the heap of a long text: while it is typed, with its history
// open, and with only its text open.
func (t *texts) memory() error {
	recorded, err := t.read("automerge-paper")
	if err != nil {
		return err
	}
	defer debug.SetGCPercent(debug.SetGCPercent(10)) // so that the peak is what is in use
	empty := heap()
	d := text.New()
	peak := empty
	sampled := make(chan struct{}) // closed when typing is over
	done := make(chan struct{})    // closed when nobody samples any more
	go func() {
		defer close(done)
		for {
			select {
			case <-sampled:
				return
			case <-time.After(time.Millisecond):
				var m runtime.MemStats
				runtime.ReadMemStats(&m)
				peak = max(peak, m.HeapAlloc)
			}
		}
	}()
	err = recorded.Type(d, "author")
	close(sampled)
	<-done
	if err != nil {
		return err
	}
	held := heap()
	snapshot := d.AppendSnapshot(nil)
	runtime.KeepAlive(d)
	d = nil
	before := heap()
	opened, err := text.Open(snapshot, nil)
	if err != nil {
		return err
	}
	rest := heap() + uint64(len(snapshot)) // which the text may stand in
	runtime.KeepAlive(opened)
	runtime.KeepAlive(recorded)
	kb := func(bytes uint64) string { return fmt.Sprintf("%d KB", bytes>>10) }
	t.b.add(row{what: "9 text: memory of automerge-paper", measured: fmt.Sprintf(
		"peak %s, with its history %s, its text alone %s",
		kb(peak-min(peak, empty)), kb(held-min(held, empty)), kb(rest-min(rest, before)))})
	return nil
}

// heap is what is in use.
func heap() uint64 {
	runtime.GC()
	var m runtime.MemStats
	runtime.ReadMemStats(&m)
	return m.HeapAlloc
}
