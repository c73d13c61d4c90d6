package httpapi

import (
	"fmt"
	"strings"
	"time"
)

// ClockStatus is the state of the node's clock. Times in milliseconds that
// nobody can tell are left out.
type ClockStatus struct {
	Trust string    `json:"trust"` // class of stamps made now: "synced", "holdover", "unsynced"
	Now   time.Time `json:"now"`   // corrected time
	State string    `json:"state"` // "synced", "holdover", "unsynced", "stepped"
	// OffsetMS is the corrected time minus the system clock, BoundMS how far the
	// corrected time may be off.
	OffsetMS *float64 `json:"offset_ms,omitempty"`
	BoundMS  *float64 `json:"bound_ms,omitempty"`
	// DriftPPM is by how much the clock of the machine is fast.
	DriftPPM      float64       `json:"drift_ppm"`
	DriftMeasured bool          `json:"drift_measured"`
	HoldoverPPM   float64       `json:"holdover_ppm"` // by which the bound grows without answers
	LimitMS       float64       `json:"limit_ms"`
	Alarm         string        `json:"alarm,omitempty"` // "offset", "contested", "differs", "unsure"
	LeapMixed     bool          `json:"leap_mixed,omitempty"`
	LastStep      *ClockStep    `json:"last_step,omitempty"`
	Sources       []ClockSource `json:"sources"` // never nil
	History       []ClockPast   `json:"history,omitempty"`
	Edges         []EdgeClock   `json:"edges,omitempty"` // at a core node
}

// ClockStep is a jump of a clock.
type ClockStep struct {
	At   time.Time `json:"at"` // by the clock that jumped, after it
	ByMS float64   `json:"by_ms"`
}

// ClockSource is one source of time. Low and High are where it says that true
// time is, relative to the system clock.
type ClockSource struct {
	Name       string   `json:"name"`
	Verdict    string   `json:"verdict"` // "truechimer", "falseticker", "contested", "silent", "refusing", "unvouched"
	LowMS      *float64 `json:"low_ms,omitempty"`
	HighMS     *float64 `json:"high_ms,omitempty"`
	DelayMS    *float64 `json:"delay_ms,omitempty"`
	AgeSeconds *float64 `json:"age_s,omitempty"` // of the last answer
	Stratum    int      `json:"stratum,omitempty"`
	Leap       string   `json:"leap,omitempty"` // "insert" or "delete"
	Smeared    bool     `json:"smeared,omitempty"`
	Answers    uint64   `json:"answers"`
	Lost       uint64   `json:"lost"`
	LastError  string   `json:"last_error,omitempty"` // empty: it answered last
}

// ClockPast is an earlier uncertainty.
type ClockPast struct {
	At       time.Time `json:"at"`
	State    string    `json:"state"`
	OffsetMS *float64  `json:"offset_ms,omitempty"`
	BoundMS  *float64  `json:"bound_ms,omitempty"`
}

// EdgeClock is what a node told a core node of its clock.
type EdgeClock struct {
	Node     string    `json:"node"`
	State    string    `json:"state"`
	OffsetMS *float64  `json:"offset_ms,omitempty"`
	BoundMS  *float64  `json:"bound_ms,omitempty"`
	DriftPPM float64   `json:"drift_ppm"`
	Alarm    string    `json:"alarm,omitempty"`
	At       time.Time `json:"at"` // of the report
}

// Summary is the clock in one line.
func (c *ClockStatus) Summary() string {
	var b strings.Builder
	b.WriteString(c.Trust)
	if c.State != c.Trust && c.State != "" {
		b.WriteString(", " + c.State)
	}
	if c.OffsetMS != nil && c.BoundMS != nil {
		fmt.Fprintf(&b, ", system clock off by %.3f ms ± %.3f ms", -*c.OffsetMS, *c.BoundMS)
	}
	if c.DriftMeasured {
		fmt.Fprintf(&b, ", drift %+.2f ppm", c.DriftPPM)
	}
	agree := 0
	for _, s := range c.Sources {
		if s.Verdict == "truechimer" {
			agree++
		}
	}
	fmt.Fprintf(&b, ", %d of %d sources agree", agree, len(c.Sources))
	if c.Alarm != "" {
		b.WriteString(", ALARM: " + c.Alarm)
	}
	return b.String()
}

func writeClockMetrics(b *strings.Builder, c *ClockStatus) {
	head(b, "causeway_clock_state", "gauge", "State of the clock; 1 for the one in force.")
	for _, s := range []string{"synced", "holdover", "unsynced", "stepped"} {
		fmt.Fprintf(b, "causeway_clock_state{state=%q} %d\n", s, oneIf(s == c.State))
	}
	gauge(b, "causeway_clock_alarm", "Whether the clock alarm is raised.", oneIf(c.Alarm != ""))
	seconds := func(name, help string, ms *float64) {
		if ms != nil {
			head(b, name, "gauge", help)
			fmt.Fprintf(b, "%s %g\n", name, *ms/1e3)
		}
	}
	seconds("causeway_clock_offset_seconds", "Corrected time minus the system clock.", c.OffsetMS)
	seconds("causeway_clock_bound_seconds", "How far the corrected time may be off.", c.BoundMS)
	head(b, "causeway_clock_drift_ppm", "gauge", "By how much the machine's clock is fast.")
	fmt.Fprintf(b, "causeway_clock_drift_ppm %g\n", c.DriftPPM)
	head(b, "causeway_clock_source", "gauge", "Time sources and the verdict on them; 1 for the one in force.")
	for _, s := range c.Sources {
		fmt.Fprintf(b, "causeway_clock_source{source=%q,verdict=%q} 1\n", s.Name, s.Verdict)
	}
	head(b, "causeway_edge_clock_offset_seconds", "gauge",
		"True time minus the system clock of nodes that asked this one.")
	for _, e := range c.Edges {
		if e.OffsetMS != nil {
			fmt.Fprintf(b, "causeway_edge_clock_offset_seconds{node=%q} %g\n", e.Node, *e.OffsetMS/1e3)
		}
	}
}

func oneIf(v bool) int {
	if v {
		return 1
	}
	return 0
}
