package conflict

import "encoding/binary"

// AppendBinary appends the binary form of t to b and returns the longer slice:
// the number of runs, then per run the distance to the run before, its length,
// its parent and rank, then the rank of the tip if there are runs.
func (t Timeline) AppendBinary(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(t.Runs)))
	if len(t.Runs) == 0 {
		return b
	}
	var dots dotWriter
	end := uint64(0)
	for _, run := range t.Runs {
		b = binary.AppendUvarint(b, run.From-end)
		b = binary.AppendUvarint(b, run.To-run.From)
		b = binary.AppendUvarint(b, run.Parent)
		b = appendStamp(b, run.Rank.Stamp)
		b = dots.append(b, run.Rank.Dot)
		end = run.To
	}
	b = appendStamp(b, t.Tip.Stamp)
	return dots.append(b, t.Tip.Dot)
}

// DecodeTimeline reads one timeline from the front of b and returns the rest.
// It returns ErrMalformed for bytes that AppendBinary cannot have written for
// a timeline that [Timeline.Add] and [Timeline.Move] made.
func DecodeTimeline(b []byte) (Timeline, []byte, error) {
	r := reader{b: b}
	n := r.count("runs", MaxRuns, 8)
	var t Timeline
	end := uint64(0)
	for range n {
		gap, length := r.uint("from"), r.uint("to")
		run := Run{From: end + gap, To: end + gap + length, Parent: r.uint("parent")}
		if gap == 0 || run.From < end || run.To < run.From {
			r.fail("slots of a run")
		}
		run.Rank = Rank{r.stamp(), r.dot()}
		if r.err != nil {
			return Timeline{}, nil, r.err
		}
		t.Runs = append(t.Runs, run)
		end = run.To
	}
	if n > 0 {
		t.Tip = Rank{r.stamp(), r.dot()}
	}
	for _, run := range t.Runs {
		if p, ok := t.find(run.Parent); !ok || (p >= 0 && t.Runs[p].To != run.Parent) {
			r.fail("parent of a run")
		}
	}
	if r.err != nil {
		return Timeline{}, nil, r.err
	}
	return t, r.b, nil
}
