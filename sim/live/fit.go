package live

import (
	"fmt"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/sim"
)

// Bounds on what one machine can carry.
const (
	maxNodes       = 40
	maxCallsPerSec = 400
)

// unmakeable says why a kind of fault needs the simulator.
var unmakeable = map[sim.FaultKind]string{
	sim.DiskFull:    "a full disk",
	sim.DiskReserve: "a disk below its reserve",
	sim.SlowDisk:    "a slow disk",
	sim.FsyncError:  "an fsync that fails",
	sim.ClockStep:   "a wall clock that jumps",
	sim.ClockDrift:  "a clock that drifts",
	sim.StreamLoss:  "a stream replica that loses messages by itself",
	sim.StreamAway:  "streams that are deleted",
	sim.Upgrade:     "ops of a later version",
}

// fitting is a plan that can be carried out, and what of it is not as it says.
type fitting struct {
	plan    *sim.Plan
	notes   []string // "not made live: …", and what is made by other means; each once
	partial bool     // something was left out
}

func (f *fitting) note(format string, args ...any) {
	text := fmt.Sprintf(format, args...)
	if !slices.Contains(f.notes, text) {
		f.notes = append(f.notes, text)
	}
}

// fit looks through a plan that was scaled already. It returns an *[UnfitError]
// that names everything that stands in the way.
func fit(p *sim.Plan, opt Options) (*fitting, error) {
	f := &fitting{plan: p}
	reasons := tooLarge(p, opt)
	missing := f.leaveOut(p, opt)
	if len(reasons)+len(missing) > 0 {
		e := &UnfitError{Reasons: append(reasons, missing...)}
		if len(reasons) == 0 {
			e.Hint = "--skip-unsupported leaves these out"
		}
		return nil, e
	}
	f.judgeLinks(p, opt)
	if p.Messages {
		f.note("links are TCP: loss, damage and order of single messages are not made; a partition swallows bytes")
	}
	if p.Timing != (sim.Timing{}) {
		f.note("not made live: timing; nodes have the times of the product")
	}
	return f, nil
}

func tooLarge(p *sim.Plan, opt Options) []string {
	var reasons []string
	bad := func(format string, args ...any) { reasons = append(reasons, fmt.Sprintf(format, args...)) }
	cores := 0
	for _, n := range p.Nodes {
		if n.Core {
			cores++
		}
	}
	if cores != 1 && cores != 3 && cores != 5 {
		bad("%d core nodes, want 1, 3 or 5", cores)
	}
	if len(p.Nodes) > maxNodes {
		bad("%d nodes are more processes than one machine carries, which is %d", len(p.Nodes), maxNodes)
	}
	if p.Length > opt.MaxLength {
		bad("it lasts %v and times are real here, at most %v; --speed %.0f makes them pass so many times faster",
			p.Length, opt.MaxLength, float64(p.Length)/float64(opt.MaxLength)*opt.Speed+1)
	}
	if rate := float64(len(p.Calls)) / max(p.Length.Seconds(), 1); rate > maxCallsPerSec {
		bad("%d calls in %v are more than %d a second", len(p.Calls), p.Length.Round(time.Millisecond), maxCallsPerSec)
	}
	if p.Required != 0 && p.Required != cores/2+1 {
		bad("%d core stores release an outbox, live always a majority", p.Required)
	}
	return reasons
}

// leaveOut takes what cannot be made out of the plan. It gives what that is
// unless it was asked to do so.
func (f *fitting) leaveOut(p *sim.Plan, opt Options) []string {
	var missing []string
	out := func(format string, args ...any) {
		text := fmt.Sprintf(format, args...)
		if opt.SkipUnsupported {
			f.note("not made live: %s", text)
			f.partial = true
		} else if !slices.Contains(missing, text) {
			missing = append(missing, text)
		}
	}
	p.Faults = slices.DeleteFunc(p.Faults, func(x sim.Fault) bool {
		why := f.cannot(&x)
		if why != "" {
			out("%s (%s)%s", x.Kind, why, lineOf(x.Line))
		}
		return why != ""
	})
	for i := range p.Nodes {
		n := &p.Nodes[i]
		if n.Offset != 0 {
			out("the wall clock of %s off by %v (all nodes share this machine's)", n.Name, n.Offset)
		}
		if n.Drift != 0 {
			f.note("not made live: drift of clocks; all nodes share this machine's")
		}
		n.Offset, n.Drift = 0, 0
	}
	return missing
}

func lineOf(line int) string {
	if line == 0 {
		return ""
	}
	return fmt.Sprintf(" of line %d", line)
}

// cannot says why a fault cannot be made, or notes in what way it is.
func (f *fitting) cannot(x *sim.Fault) string {
	if why := unmakeable[x.Kind]; why != "" {
		return why
	}
	switch {
	case x.Kind == sim.Pause && x.Suspend:
		f.note("a suspended machine is made as a frozen process: its clocks run on")
	case x.Kind == sim.BitFlip:
		f.note("a bit is flipped in a file, with the node killed before and started after")
	case x.Kind == sim.LoseSynced:
		f.note("lost commits are made by an older copy of the store's files")
	}
	return ""
}

// judgeLinks notes which qualities of links are not made, or otherwise.
func (f *fitting) judgeLinks(p *sim.Plan, opt Options) {
	f.judgeQuality(&p.Net, opt)
	for i := range p.Links {
		f.judgeQuality(&p.Links[i].Quality, opt)
	}
	for i := range p.Faults {
		if p.Faults[i].Kind == sim.Degrade {
			f.judgeQuality(&p.Faults[i].Quality, opt)
		}
	}
}

func (f *fitting) judgeQuality(q *sim.Quality, opt Options) {
	if q.Duplicate.P > 0 {
		f.note("not made live: duplicate; TCP hides it")
	}
	if q.Reorder.P > 0 {
		f.note("not made live: reorder; TCP hides it")
	}
	if q.DelayCorr > 0 {
		f.note("not made live: correlation of delays")
	}
	if lossy(q) && !opt.Netns {
		f.note("loss and damage of packets are made as stalls of %v and more, as TCP mends them", stallFor)
	}
	if q.Corrupt.P > 0 && opt.Netns {
		f.note("damage of packets is made as their loss, which is what TCP's checksum makes of it")
	}
	if q.Loss.Correlation > 0 || q.Burst.Rate() > 0 {
		f.note("loss is made without memory, at the rate that it has in the long run")
	}
	if q.Delay > protocol.HeartbeatEvery {
		f.note("a delay of %v holds up the handshakes of real connections several times over", q.Delay)
	}
}
