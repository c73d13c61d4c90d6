package source

import (
	"fmt"
	"os"
	"time"

	"golang.org/x/sys/unix"

	"github.com/causeway-sync/causeway/clocksync"
)

// readPTP reads a clock device by its dynamic clock number. It is opened for
// each reading: the driver may be loaded, or the card removed, at any time.
func readPTP(device string) (clocksync.Nanos, error) {
	f, err := os.Open(device)
	if err != nil {
		return 0, err
	}
	defer func() { _ = f.Close() }() // it was only read
	var ts unix.Timespec
	raw, err := f.SyscallConn()
	if err != nil {
		return 0, fmt.Errorf("no clock: %w", err)
	}
	var failed error
	err = raw.Control(func(fd uintptr) { failed = unix.ClockGettime(unix.FdToClockID(int(fd)), &ts) })
	if err == nil {
		err = failed
	}
	if err != nil {
		return 0, fmt.Errorf("no clock: %w", err)
	}
	return clocksync.NanosOf(time.Unix(ts.Unix())), nil
}
