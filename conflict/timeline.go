package conflict

import (
	"cmp"
	"errors"
	"fmt"
	"slices"
	"sort"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/vclock"
)

// ErrNotInTimeline says that a slot that was named is not a message of the
// timeline, or cannot be.
var ErrNotInTimeline = errors.New("conflict: slot is not in the timeline")

// Rank is the place of a message among the replies to one parent.
type Rank struct {
	Stamp clocksync.Stamp
	Dot   vclock.Dot
}

// Compare orders ranks by stamp, then by dot.
func (r Rank) Compare(s Rank) int {
	return cmp.Or(r.Stamp.Compare(s.Stamp), r.Dot.Compare(s.Dot))
}

// Run is a stretch of slots in which every message is the only reply to the
// message before it.
type Run struct {
	From, To uint64 // first and last message slot
	Parent   uint64 // slot of the message that From replies to; 0 at the root
	Rank     Rank   // of the message at From
}

// Segment is a run as it occurs in the order that people read.
type Segment struct {
	From, To uint64 // first and last message slot
	Depth    int    // forks above: ancestors with several replies, and the root if it has several
}

// Timeline is the tree of a session's messages. A slot is the local number of
// arrival of a message within the session, from 1; slots need not be
// contiguous. A conversation without branches is one run, whatever its length.
//
// The order is depth first: a message comes before the replies to it, replies
// to one parent by rank, each with all that follows from it. It depends on
// parents and ranks alone; the table of runs depends on arrival too.
//
// Why it respects causality: an author's parent is the last message of the
// order that it sees and its stamp is later than all that it sees, so its
// message is last again; messages that arrive later never change the order of
// those two.
//
// HAZARD: [Timeline.Move] does, as the message that moves may pass behind a
// message whose author had seen it at its former place.
//
// A dishonest author can name a parent that is younger than the reply, and so
// build a cycle. A cycle is cut at its message of least rank, which then is at
// the root.
//
// Invariant: Runs are disjoint and sorted by slot; no message of the session
// between From and To belongs elsewhere; within a run ranks rise; every Parent
// is 0 or the To of some run.
type Timeline struct {
	Runs []Run
	Tip  Rank // of the message of the highest slot; zero if there is none
}

// Successor finds a message inside a run: it returns the first message slot after
// the given slot, which need not be a message's, and the rank of that message.
// [Timeline] asks only where there is one in the run.
type Successor = func(after uint64) (uint64, Rank, error)

// Add appends the message at slot, which is larger than all before, as a reply
// to the message at parent (0: at the root). It asks next only when parent
// lies within a run. After an error the timeline is unchanged.
func (t *Timeline) Add(slot, parent uint64, r Rank, next Successor) error {
	last := len(t.Runs) - 1
	if slot <= parent || (last >= 0 && slot <= t.Runs[last].To) {
		return fmt.Errorf("add slot %d under %d: %w", slot, parent, ErrNotInTimeline)
	}
	if t.extends(parent, r) {
		t.Runs[last].To = slot
		t.Tip = r
		return nil
	}
	if err := t.splitAfter(parent, next); err != nil {
		return fmt.Errorf("add slot %d: %w", slot, err)
	}
	t.Runs = append(t.Runs, Run{From: slot, To: slot, Parent: parent, Rank: r})
	t.Tip = r
	return nil
}

// extends reports whether a message of rank r under parent continues the last
// run. That ranks rise within a run lets a cycle be cut between runs.
func (t *Timeline) extends(parent uint64, r Rank) bool {
	n := len(t.Runs)
	return n > 0 && t.Runs[n-1].To == parent && t.Tip.Compare(r) < 0 &&
		!slices.ContainsFunc(t.Runs, func(run Run) bool { return run.Parent == parent })
}

// Move gives the message at slot another parent and a rank that is not higher
// than before. It starts a run of its own; the rest of its run goes with it.
// After an error the order is unchanged.
func (t *Timeline) Move(slot, parent uint64, r Rank, next Successor) error {
	i, ok := t.find(slot)
	if !ok || slot == 0 {
		return fmt.Errorf("move slot %d: %w", slot, ErrNotInTimeline)
	}
	if _, ok := t.find(parent); !ok {
		return fmt.Errorf("move slot %d under %d: %w", slot, parent, ErrNotInTimeline)
	}
	if t.Runs[i].From < slot {
		before, err := t.before(t.Runs[i].From, slot, next)
		if err != nil {
			return fmt.Errorf("move slot %d: %w", slot, err)
		}
		if err := t.splitAfter(before, next); err != nil {
			return fmt.Errorf("move slot %d: %w", slot, err)
		}
		if i, _ = t.find(slot); t.Runs[i].From != slot {
			return fmt.Errorf("move slot %d, which is no message: %w", slot, ErrNotInTimeline)
		}
	}
	if err := t.splitAfter(parent, next); err != nil {
		return fmt.Errorf("move slot %d under %d: %w", slot, parent, err)
	}
	i, _ = t.find(slot)
	t.Runs[i].Parent, t.Runs[i].Rank = parent, r
	if t.Runs[len(t.Runs)-1].To == slot {
		t.Tip = r
	}
	return nil
}

// before returns the last message slot before slot in a run that begins at
// from, which is less. It asks next some log2(slot-from) times, twice if the
// slots are contiguous.
func (t *Timeline) before(from, slot uint64, next Successor) (uint64, error) {
	low, high := from, slot-1 // the answer is in [low, high]
	for step := uint64(1); low < high; step *= 2 {
		probe := low + (high-low)/2
		if high-low > step {
			probe = high - step
		}
		after, _, err := next(probe)
		if err != nil {
			return 0, err
		}
		if after <= probe {
			return 0, fmt.Errorf("next after %d is %d: %w", probe, after, ErrNotInTimeline)
		}
		if after < slot {
			low = after
		} else {
			high = probe
		}
	}
	return low, nil
}

// splitAfter makes parent the end of a run. It changes nothing where it is one.
func (t *Timeline) splitAfter(parent uint64, next Successor) error {
	if parent == 0 {
		return nil
	}
	i, ok := t.find(parent)
	if !ok {
		return fmt.Errorf("parent %d: %w", parent, ErrNotInTimeline)
	}
	run := t.Runs[i]
	if run.To == parent {
		return nil
	}
	from, rank, err := next(parent)
	if err != nil {
		return fmt.Errorf("split run %d to %d after %d: %w", run.From, run.To, parent, err)
	}
	if from <= parent || from > run.To {
		return fmt.Errorf("split run %d to %d after %d: next is %d: %w", run.From, run.To, parent, from, ErrNotInTimeline)
	}
	t.Runs[i].To = parent
	t.Runs = slices.Insert(t.Runs, i+1, Run{From: from, To: run.To, Parent: parent, Rank: rank})
	return nil
}

// find returns the index of the run that slot lies in. Slot 0 is the root: it
// is found and has no index.
func (t *Timeline) find(slot uint64) (int, bool) {
	if slot == 0 {
		return -1, true
	}
	i := sort.Search(len(t.Runs), func(i int) bool { return t.Runs[i].To >= slot })
	return i, i < len(t.Runs) && t.Runs[i].From <= slot
}

// Segments returns all runs in the order that people read. It takes the time
// of sorting them.
func (t Timeline) Segments() []Segment {
	if len(t.Runs) == 0 {
		return nil
	}
	order := make([]Segment, 0, len(t.Runs))
	replies := t.replies()
	type visit struct{ run, depth int }
	var todo []visit
	push := func(parent, depth int) {
		runs := replies.of(parent)
		if len(runs) > 1 {
			depth++
		}
		for _, run := range slices.Backward(runs) {
			todo = append(todo, visit{run, depth})
		}
	}
	push(len(t.Runs), 0)
	for len(todo) > 0 {
		v := todo[len(todo)-1]
		todo = todo[:len(todo)-1]
		order = append(order, Segment{t.Runs[v.run].From, t.Runs[v.run].To, v.depth})
		push(v.run, v.depth)
	}
	return order
}

// Last returns the last message slot of the order, 0 if there is none.
func (t Timeline) Last() uint64 {
	if n := len(t.Runs); n == 1 {
		return t.Runs[0].To
	}
	parents := t.parents()
	root := len(t.Runs)
	latest := make([]int, root+1) // 1 + index of the reply of highest rank, 0 if none
	for i, p := range parents {
		if at := latest[p] - 1; at < 0 || t.byRank(i, at) > 0 {
			latest[p] = i + 1
		}
	}
	var last uint64
	for at := latest[root]; at > 0; at = latest[at-1] {
		last = t.Runs[at-1].To
	}
	return last
}

// Replies returns the replies to the message at slot (0: the messages at the
// root) that begin a run, by rank. Where inside is true, slot lies within a
// run, and the next message of the session in that run is its only reply.
func (t Timeline) Replies(slot uint64) (heads []uint64, inside bool) {
	i, ok := t.find(slot)
	switch {
	case !ok:
		return nil, false
	case slot == 0:
		i = len(t.Runs)
	case t.Runs[i].To != slot:
		return nil, true
	}
	for _, run := range t.replies().of(i) {
		heads = append(heads, t.Runs[run].From)
	}
	return heads, false
}

// forest lists, for each run, the runs that reply to its end; the root has the
// index behind the last run.
type forest struct {
	runs  []int // all runs, by parent, then rank
	begin []int // where the replies of each parent begin in runs
}

func (f forest) of(parent int) []int { return f.runs[f.begin[parent]:f.begin[parent+1]] }

func (t *Timeline) replies() forest {
	parents := t.parents()
	f := forest{runs: make([]int, len(parents)), begin: make([]int, len(parents)+2)}
	for i, p := range parents {
		f.runs[i] = i
		f.begin[p+1]++
	}
	for i := 1; i < len(f.begin); i++ {
		f.begin[i] += f.begin[i-1]
	}
	slices.SortFunc(f.runs, func(i, j int) int {
		return cmp.Or(cmp.Compare(parents[i], parents[j]), t.byRank(i, j))
	})
	return f
}

// parents returns for each run the index of the run that it replies to,
// len(t.Runs) for the root. Cycles are cut: following parents ends at the root.
func (t *Timeline) parents() []int {
	root := len(t.Runs)
	parents := make([]int, root)
	for i, run := range t.Runs {
		parents[i] = root
		if p, ok := t.find(run.Parent); ok && p >= 0 {
			parents[i] = p
		}
	}
	walk := make([]int, root+1) // number of the walk that came by first, 0 if none yet
	for start := range parents {
		at := start
		for at != root && walk[at] == 0 {
			walk[at] = start + 1
			at = parents[at]
		}
		if at == root || walk[at] != start+1 {
			continue
		}
		least := at
		for i := parents[at]; i != at; i = parents[i] {
			if t.byRank(i, least) < 0 {
				least = i
			}
		}
		parents[least] = root
	}
	return parents
}

// byRank orders runs by rank; the slot only makes it total.
func (t *Timeline) byRank(i, j int) int {
	return cmp.Or(t.Runs[i].Rank.Compare(t.Runs[j].Rank), cmp.Compare(t.Runs[i].From, t.Runs[j].From))
}
