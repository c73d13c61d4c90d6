package store

import (
	"io/fs"
	"path/filepath"
	"sync/atomic"
)

// counters are kept as the store works.
type counters struct {
	commits   atomic.Uint64
	groups    atomic.Uint64
	refused   atomic.Uint64
	damage    atomic.Uint64
	collected atomic.Uint64
}

// Stats is how the store is doing.
type Stats struct {
	Commits     uint64 // number of the last commit, counted over the store's life
	Groups      uint64 // commits since the store was opened
	Refused     uint64 // Updates refused because of the reserve
	Damage      uint64 // reads that met a damaged record
	Collected   uint64 // value log files given back
	BytesFree   uint64 // on the disk; 0 if it cannot be asked
	Reserve     Reserve
	BytesOnDisk uint64 // of all files, as the file system counts them: sparse files are smaller than they look
	Failed      error  // why no more writes are taken, or nil
	// Unconfirmed is set if the last commit before the store was opened may
	// have been acknowledged and is not there. A node that cares compares with
	// its core.
	Unconfirmed bool
}

// Reserve is what the disk still takes.
type Reserve string

// The states of the reserve.
const (
	ReserveFree Reserve = "free" // everything
	ReserveSync Reserve = "sync" // no intake
	ReserveFull Reserve = "full" // nothing
)

// Stats gives the present figures. It walks the directory.
func (s *Store) Stats() Stats {
	st := Stats{
		Commits: s.counters.commits.Load(), Groups: s.counters.groups.Load(),
		Refused: s.counters.refused.Load(), Damage: s.counters.damage.Load(),
		Collected: s.counters.collected.Load(), Failed: s.failure(),
		Unconfirmed: s.unconfirmed, Reserve: ReserveFree,
	}
	if left, err := s.space.bytes(); err == nil {
		st.BytesFree = left
	}
	switch {
	case s.space.admit(Sync) != nil:
		st.Reserve = ReserveFull
	case s.space.admit(Intake) != nil:
		st.Reserve = ReserveSync
	}
	st.BytesOnDisk = s.bytesOnDisk()
	return st
}

// bytesOnDisk adds up allocated blocks. Files that vanish meanwhile, as they do
// in a compaction, count nothing.
func (s *Store) bytesOnDisk() uint64 {
	var total uint64
	visit := func(path string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return nil
		}
		if n, err := allocated(path); err == nil {
			total += n
		}
		return nil
	}
	if err := filepath.WalkDir(s.opt.Dir, visit); err != nil {
		return 0
	}
	return total
}
