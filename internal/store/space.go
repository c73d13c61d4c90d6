package store

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"sync"
	"time"

	"golang.org/x/sys/unix"
)

// gaugeEvery is how long a look at the free space counts.
const gaugeEvery = time.Second

// gauge watches the space that is left on the disk. Badger writes through
// mapped files, and a full disk would kill the process: so writing must stop
// before it is full.
type gauge struct {
	free    func() (uint64, error)
	reserve uint64

	mu   sync.Mutex // guards what follows
	at   time.Time
	left uint64
	err  error
}

func newGauge(o Options) *gauge {
	g := &gauge{free: o.Free, reserve: o.ReserveBytes}
	if g.free == nil {
		g.free = func() (uint64, error) { return freeBytes(o.Dir) }
	}
	return g
}

// bytes gives the free space as it was at most gaugeEvery ago.
func (g *gauge) bytes() (uint64, error) {
	g.mu.Lock()
	defer g.mu.Unlock()
	if now := time.Now(); g.at.IsZero() || now.Sub(g.at) >= gaugeEvery {
		g.left, g.err = g.free()
		g.at = now
	}
	return g.left, g.err
}

// admit is nil if the class may write. A disk that cannot be asked admits.
func (g *gauge) admit(class Class) error {
	need := g.reserve
	if class == Sync {
		need /= 2
	}
	left, err := g.bytes()
	if err != nil || left >= need {
		return nil
	}
	return fmt.Errorf("%w: %d bytes free, want %d", ErrReserve, left, need)
}

// lockDir takes the directory for this process; the lock ends with the file.
func lockDir(dir string) (*os.File, error) {
	file, err := os.OpenFile(filepath.Join(dir, "lock"), os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open lock file: %w", err)
	}
	err = unix.Flock(int(file.Fd()), unix.LOCK_EX|unix.LOCK_NB)
	if errors.Is(err, unix.EWOULDBLOCK) {
		return nil, errors.Join(fmt.Errorf("%w: %s", ErrInUse, dir), file.Close())
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("lock %s: %w", dir, err), file.Close())
	}
	return file, nil
}

// allocated gives the bytes that a file takes on the disk.
func allocated(path string) (uint64, error) {
	var st unix.Stat_t
	if err := unix.Lstat(path, &st); err != nil {
		return 0, &os.PathError{Op: "lstat", Path: path, Err: err}
	}
	return uint64(st.Blocks) * 512, nil
}
