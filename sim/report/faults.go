package report

import (
	"cmp"
	"slices"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/sim"
)

// faults is the table of what went wrong.
type faults struct {
	Rows   []faultRow
	Left   int    // that have no row
	End    int64  // of the run, for the bars
	Healed int64  // thousandths of the run; -1: never
	Heal   string // in words
}

// faultRow is one fault in words.
type faultRow struct {
	What, Words     string
	From, To, Lasts string
	Left, Width     int64 // of the bar, in thousandths of the run
	At              int64 // µs
	Kind            string
	Line            int
}

// faultsOf lists the faults by time.
func faultsOf(r *sim.Result) faults {
	end := max(r.Simulated, 1)
	f := faults{End: micros(end), Healed: -1}
	if h := r.History.Healed; h > 0 {
		f.Healed, f.Heal = permille(h, end), moment(h)
	}
	ordered := slices.Clone(r.Plan.Faults)
	slices.SortStableFunc(ordered, func(a, b sim.Fault) int { return cmp.Compare(a.At, b.At) })
	for i, x := range ordered {
		if i == MaxFaults {
			f.Left = len(ordered) - i
			break
		}
		row := faultRow{What: faultName(x.Kind), Words: faultWords(x), From: moment(x.At), At: micros(x.At),
			Kind: faultClass(x.Kind), Left: permille(x.At, end), Line: x.Line}
		until, lasts := faultEnd(r, x)
		switch {
		case !lasts:
			row.To, row.Width = "at once", 4
		case x.Permanent || until >= r.Simulated:
			row.To, row.Width = "to the end", 1000-row.Left
		default:
			row.To, row.Lasts = moment(until), span(until-x.At)
			row.Width = max(permille(until, end)-row.Left, 4)
		}
		row.Left = min(row.Left, 996)
		f.Rows = append(f.Rows, row)
	}
	return f
}

func permille(d, of time.Duration) int64 {
	return int64(float64(min(max(d, 0), of)) / float64(of) * 1000)
}

// momentary reports whether a kind of fault has no duration.
func momentary(k sim.FaultKind) bool {
	switch k {
	case sim.BitFlip, sim.LoseSynced, sim.ClockStep, sim.ClockDrift, sim.StreamLoss, sim.StreamAway, sim.Leave,
		sim.MoveLink, sim.Upgrade, sim.NoFault:
		return true
	default:
		return false
	}
}

// faultEnd gives when a fault ends, and whether it lasts at all.
func faultEnd(r *sim.Result, f sim.Fault) (end time.Duration, lasts bool) {
	switch {
	case momentary(f.Kind) && f.For == 0:
		return f.At, false
	case f.Permanent:
		return r.Simulated, true
	case f.For > 0:
		end = f.At + f.For
		if h := r.History.Healed; h >= f.At && h > 0 {
			end = min(end, h)
		}
		return min(end, max(r.Simulated, f.At)), true
	case r.History.Healed >= f.At && r.History.Healed > 0:
		return r.History.Healed, true
	default:
		return max(r.Simulated, f.At), true
	}
}

// faultClass says how a fault is drawn: "net" over the lanes that it separates,
// "node" in the lane of the node, "disk" and "clock" likewise.
func faultClass(k sim.FaultKind) string {
	switch k {
	case sim.Partition, sim.Degrade, sim.Clog, sim.Flap:
		return "net"
	case sim.BitFlip, sim.LoseSynced, sim.DiskFull, sim.DiskReserve, sim.SlowDisk, sim.FsyncError, sim.StreamLoss,
		sim.StreamAway, sim.Wipe, sim.WipeStreams, sim.Restore, sim.Clone:
		return "disk"
	case sim.ClockStep, sim.ClockDrift:
		return "clock"
	default:
		return "node"
	}
}

// faultNames name the kinds for people.
var faultNames = map[sim.FaultKind]string{
	sim.NoFault: "nothing", sim.Partition: "partition", sim.Degrade: "bad link", sim.Clog: "clogged link",
	sim.Flap: "flapping link", sim.Crash: "crash", sim.Stop: "stop", sim.Pause: "pause", sim.Wipe: "wiped storage",
	sim.WipeStreams: "wiped streams", sim.Restore: "restored copy", sim.Clone: "clone", sim.BitFlip: "flipped bit",
	sim.LoseSynced: "lying disk", sim.DiskFull: "full disk", sim.DiskReserve: "disk reserve", sim.SlowDisk: "slow disk",
	sim.FsyncError: "fsync error", sim.ClockStep: "clock step", sim.ClockDrift: "clock drift",
	sim.StreamLoss: "stream loss", sim.StreamAway: "stream recreated", sim.Leave: "leaves for good",
	sim.MoveLink: "moved link", sim.Upgrade: "upgrade",
}

func faultName(k sim.FaultKind) string { return cmp.Or(faultNames[k], "fault") }

// faultWords says what a fault does, as a sentence without an end.
func faultWords(f sim.Fault) string {
	who := list(f.Nodes, 5)
	if len(f.Nodes) == 0 {
		who = "everybody"
	}
	return clip(strings.TrimSpace(who+" "+faultVerb(f)), 2*MaxText)
}

func faultVerb(f sim.Fault) string {
	verbs := map[sim.FaultKind]string{
		sim.Crash: "killed", sim.Stop: "told to stop", sim.Wipe: "loses its storage and comes back empty",
		sim.WipeStreams: "loses its copy of the streams", sim.DiskFull: "has no room for any write",
		sim.DiskReserve: "is below its reserve: it takes no new writes",
		sim.FsyncError:  "gets an error from fsync and stops",
		sim.StreamAway:  "sees all streams deleted and made again, empty", sim.Leave: "leaves; what only it had goes with it",
		sim.Upgrade: "starts to write op kinds that others do not know",
	}
	switch f.Kind {
	case sim.Partition, sim.Degrade, sim.Clog, sim.Flap:
		return netWords(f)
	case sim.Pause:
		if f.Suspend {
			return "suspended, its clocks stand still too"
		}
		return "frozen"
	case sim.Restore:
		return "killed, and comes back with its storage of " + span(f.Ago) + " before"
	case sim.Clone:
		if f.Ago > 0 {
			return "gets a twin: a copy of its storage of " + span(f.Ago) + " before runs beside it"
		}
		return "gets a twin: a copy of its storage runs beside it"
	case sim.BitFlip:
		return "has one bit flipped in a record (" + cmp.Or(f.Class, "any") + ")"
	case sim.LoseSynced:
		return "killed; its disk loses the last " + many(f.Count, "commit", "commits") + " that it had called durable"
	case sim.SlowDisk:
		return "needs " + span(f.Delay) + " for each fsync"
	case sim.ClockStep:
		if f.Delay < 0 {
			return "has its clock set back by " + span(-f.Delay)
		}
		return "has its clock set forward by " + span(f.Delay)
	case sim.ClockDrift:
		return "has a clock that drifts by " + trim(f.PPM, 1) + " ppm"
	case sim.StreamLoss:
		return "silently loses " + many(f.Count, "message", "messages") + " from its replica of the stream"
	case sim.MoveLink:
		return "is moved to " + list(f.Peers, 3)
	default:
		return verbs[f.Kind]
	}
}

// netWords says what becomes of messages between nodes and peers.
func netWords(f sim.Fault) string {
	peers := "everybody else"
	if len(f.Peers) > 0 {
		peers = list(f.Peers, 5)
	}
	way := map[sim.Direction]string{
		sim.Both: "↔ " + peers, sim.To: "→ " + peers + " (one way)", sim.From: "← " + peers + " (one way)",
	}[f.Direction]
	switch f.Kind {
	case sim.Partition:
		return way + ": nothing gets through"
	case sim.Flap:
		return way + ": works for " + span(f.Up) + ", cut for " + span(f.Down) + ", in turns"
	case sim.Clog:
		return way + ": messages wait until the end"
	default:
		return way + ": " + qualityWords(f.Quality)
	}
}

// qualityWords lists what is wrong with a link.
func qualityWords(q sim.Quality) string {
	var parts []string
	add := func(text string) { parts = append(parts, text) }
	if q.Delay > 0 || q.Jitter > 0 {
		text := "delay " + span(q.Delay)
		if q.Jitter > 0 {
			text += " ± " + span(q.Jitter)
		}
		add(text)
	}
	for _, c := range []struct {
		name   string
		chance sim.Chance
	}{{"loss", q.Loss}, {"duplicates", q.Duplicate}, {"reordering", q.Reorder}, {"corruption", q.Corrupt}} {
		if c.chance.P <= 0 {
			continue
		}
		text := c.name + " " + percent(c.chance.P)
		if c.chance.Correlation > 0 {
			text += " (correlation " + percent(c.chance.Correlation) + ")"
		}
		add(text)
	}
	if q.Bandwidth > 0 {
		add(rateOf(q.Bandwidth))
	}
	if len(parts) == 0 {
		return "as usual"
	}
	return strings.Join(parts, ", ")
}
