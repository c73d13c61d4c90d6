package source_test

import (
	"errors"
	"io/fs"
	"os"
	"path/filepath"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/clocksync/source"
)

// TestPTP: of several readings the shortest counts, its length is in the error,
// and a device that keeps TAI is taken back to UTC.
func TestPTP(t *testing.T) {
	t.Parallel()
	const truth = clocksync.Nanos(1_800_000_000e9)
	took := []time.Duration{40 * time.Microsecond, 9 * time.Microsecond, 3 * time.Microsecond, 20 * time.Microsecond, 5 * time.Microsecond}
	var now time.Duration // since truth, by the boot-time clock
	try := 0
	p := source.PTP{Device: "/dev/ptp0", Ahead: 37 * time.Second,
		Read: func() clocksync.Reading { return clocksync.Reading{Elapsed: time.Hour + now, Wall: 5} },
		Clock: func(device string) (clocksync.Nanos, error) {
			if device != "/dev/ptp0" {
				t.Errorf("device %q is read", device)
			}
			now += took[try] // the device answers at the end: as far from the middle as can be
			try++
			return truth + clocksync.Nanos(now+37*time.Second), nil
		}}
	s, err := p.Ask(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	if try != len(took) || s.Delay != took[2] || s.Stratum != 1 {
		t.Errorf("%d readings, sample %+v, want %d and the delay of the shortest, %v", try, s, len(took), took[2])
	}
	if off := s.Time - truth - clocksync.Nanos(s.Elapsed-time.Hour); time.Duration(off).Abs() > s.Delay/2 {
		t.Errorf("off by %d ns, want at most half of the delay", off)
	}
}

// A device that is not there, or that is no clock, is told as what it is.
func TestPTPThatIsNone(t *testing.T) {
	t.Parallel()
	file := filepath.Join(t.TempDir(), "ptp0")
	if err := os.WriteFile(file, nil, 0o600); err != nil {
		t.Fatal(err)
	}
	if s, err := (source.PTP{Device: file}).Ask(t.Context()); err == nil {
		t.Errorf("Ask of a plain file = %+v, want an error", s)
	}
	if _, err := (source.PTP{Device: file + "1"}).Ask(t.Context()); !errors.Is(err, fs.ErrNotExist) {
		t.Errorf("Ask of no file = %v, want that there is none", err)
	}
	broken := source.PTP{Device: file, Clock: func(string) (clocksync.Nanos, error) { return -1e9, nil }}
	if s, err := broken.Ask(t.Context()); !errors.Is(err, clocksync.ErrBadSample) {
		t.Errorf("Ask of a clock before 1970 = %+v, %v, want ErrBadSample", s, err)
	}
}

// TestPTPDevice reads the clock of this machine, if it has one.
func TestPTPDevice(t *testing.T) {
	t.Parallel()
	const device = "/dev/ptp0"
	if _, err := os.Stat(device); err != nil {
		t.Skipf("no PTP hardware clock here: %v", err)
	}
	s, err := source.PTP{Device: device}.Ask(t.Context())
	if errors.Is(err, fs.ErrPermission) {
		t.Skip(err)
	}
	if err != nil || s.Delay > time.Second {
		t.Errorf("Ask = %+v, %v, want a sample", s, err)
	}
}
