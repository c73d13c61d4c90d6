package sim

import (
	"fmt"
	"slices"
)

// idle notes that a fault does nothing to a node, which its plan does not tell.
func (w *world) idle(f *fault, n *node, why string) {
	w.note(fmt.Sprintf("%v of %s at %v has no effect: %s", f.Kind, n.lane, f.At, why))
}

func (w *world) note(text string) {
	if !slices.Contains(w.notes, text) {
		w.notes = append(w.notes, text)
	}
}

// noteIdle notes faults that find nothing to do at a node.
func (w *world) noteIdle(f *fault, n *node, copied *image) {
	switch f.Kind {
	case Crash, Stop, Pause, Upgrade, FsyncError:
		if !n.up {
			w.idle(f, n, "it is down")
		}
	case MoveLink:
		if n.core != nil {
			w.idle(f, n, "a core node has no link to move")
		}
	case Restore, Clone, LoseSynced:
		switch {
		case f.Kind == Clone && n.core != nil:
			w.idle(f, n, "only edges are cloned")
		case copied == nil && f.Kind == Clone:
			w.idle(f, n, "a copy would make its ops again once more")
		case copied == nil:
			w.note(fmt.Sprintf("%v of %s at %v only crashes it: it wrote on in a way that the copy cannot tell", f.Kind, n.lane, f.At))
		}
	}
}

// noteDuplicates notes chances of duplicates over TCP, which shows none.
func (w *world) noteDuplicates() {
	if w.plan.Messages {
		return
	}
	const why = "duplicate has no effect without messages: true, TCP takes each segment once"
	if w.plan.Net.Duplicate.P > 0 {
		w.note("links: " + why)
	}
	for _, l := range w.plan.Links {
		if l.Quality.Duplicate.P > 0 {
			w.note(fmt.Sprintf("links between %v and %v: %s", l.Nodes, l.Peers, why))
		}
	}
	for i := range w.plan.Faults {
		if f := &w.plan.Faults[i]; f.Kind == Degrade && f.Quality.Duplicate.P > 0 {
			w.note(fmt.Sprintf("%v at %v: %s", f.Kind, f.At, why))
		}
	}
}
