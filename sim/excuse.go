package sim

import (
	"slices"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// excuseStream excuses what a stream alone holds that is about to be deleted:
// its author has lost it, and no core node has read it yet.
func (w *world) excuseStream(s *stream) {
	looked := map[*stored]bool{}
	for _, c := range w.cores {
		for _, m := range s.copies[c].log {
			if m == nil || looked[m] {
				continue
			}
			looked[m] = true
			if f, err := drive.DecodeFrame(m.subject, m.data, partitions); err == nil {
				w.excuseFrame(f)
			}
		}
	}
}

// excuseFrame excuses the ops of a frame that no disk holds.
func (w *world) excuseFrame(f *protocol.Frame) {
	for i, e := range f.Entries {
		seq := f.From + vclock.Seq(i)
		want, ok := f.ChainAt(seq)
		held := slices.ContainsFunc(w.nodes, func(n *node) bool {
			got, has := w.chain(n, f.Feed, seq)
			return !n.gone && has && got == want
		})
		if !ok || held {
			continue
		}
		if op, err := session.DecodeOp(e.Bytes); err == nil {
			w.excuseOp(&op)
		}
	}
}
