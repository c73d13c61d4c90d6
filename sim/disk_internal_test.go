package sim

import (
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/internal/store/memstore"
)

// What is written is not there before it is durable, and its author is told
// neither before nor without that.
func TestNothingIsReadBeforeItIsDurable(t *testing.T) {
	t.Parallel()
	w := running(t, 1, 1, func(p *Plan) { p.Timing.Fsync = 10 * time.Millisecond })
	n := w.byLane["edge-1"]
	told := 0
	n.put(intake, "t/a", func(err error) {
		if told++; err != nil || n.has(t, "t/a") == "" {
			t.Errorf("told %v, and the store shows %q", err, n.has(t, "t/a"))
		}
	})
	w.pass(9 * time.Millisecond)
	if told != 0 || n.has(t, "t/a") != "" {
		t.Errorf("before the fsync ended %d were told, and the store shows %q", told, n.has(t, "t/a"))
	}
	w.pass(12 * time.Millisecond)
	if told != 1 {
		t.Errorf("%d were told, want 1", told)
	}
}

// A crash keeps a part of what was waiting, from the front, and tells nobody.
func TestCrashKeepsAPrefix(t *testing.T) {
	t.Parallel()
	w := running(t, 1, 1, func(p *Plan) { p.Timing.Fsync = 10 * time.Millisecond })
	n := w.byLane["edge-1"]
	seen := map[int]bool{}
	const writes = 4
	for round := range 60 {
		key := func(i int) string { return fmt.Sprintf("t/%d/%d", round, i) }
		n.put(intake, key(-1), func(error) {})
		w.pass(time.Second)
		for i := range writes {
			n.put(intake, key(i), func(err error) { t.Errorf("round %d: write %d was told %v", round, i, err) })
		}
		w.pass(5 * time.Millisecond)
		n.crash()
		w.pass(time.Second)
		n.start()
		kept := 0
		for kept < writes && n.has(t, key(kept)) != "" {
			kept++
		}
		for i := kept; i < writes; i++ {
			if n.has(t, key(i)) != "" {
				t.Errorf("round %d: write %d is there without write %d", round, i, kept)
			}
		}
		if n.has(t, key(-1)) == "" {
			t.Errorf("round %d: what was durable is gone", round)
		}
		seen[kept] = true
	}
	if len(seen) != writes+1 {
		t.Errorf("crashes kept %v writes, want each number up to %d", seen, writes)
	}
	w.noProblems(t)
}

// Half of the crashes wait for a commit, so that they break it.
func TestCrashesHitCommits(t *testing.T) {
	t.Parallel()
	w := running(t, 1, 1, nil)
	n := w.byLane["edge-1"]
	const rounds = 80
	untold, soon, idle := 0, 0, 0
	for round := range rounds {
		boots := n.boots
		end := w.strike(Fault{Kind: Crash, Nodes: []string{n.lane}, For: 10 * time.Second})
		if n.boots == boots && round%2 == 0 { // it waits
			told := false
			n.put(intake, "t/a", func(error) { told = true })
			w.pass(50 * time.Millisecond)
			if told || n.up {
				t.Errorf("round %d: the write in which it was to die was told %v, it is up %v", round, told, n.up)
			}
			untold++
		} else if n.boots == boots {
			w.pass(crashPatience)
			idle++
		} else {
			soon++
		}
		if n.up {
			t.Errorf("round %d: it lives on", round)
		}
		end()
		w.pass(2 * crashPatience)
		if !n.up {
			t.Fatalf("round %d: it died again after it had started", round)
		}
	}
	if untold < rounds/10 || idle < rounds/10 || soon < rounds/4 {
		t.Errorf("of %d crashes %d broke a commit, %d found none, %d came at once", rounds, untold, idle, soon)
	}
}

// After a failed fsync nothing more is taken, what was written is out of sight,
// and after the restart it is there or not.
func TestFsyncError(t *testing.T) {
	t.Parallel()
	kept := map[bool]bool{}
	for round := range 12 {
		w := running(t, 1, 1, nil)
		n := w.byLane["edge-1"]
		for range round {
			w.chance.disk.Uint64() // each round has other dice
		}
		var told []error
		note := func(err error) { told = append(told, err) }
		end := w.strike(Fault{Kind: FsyncError, Nodes: []string{n.lane}})
		n.put(intake, "t/a", note)
		w.pass(time.Second)
		n.put(forSync, "t/b", note)
		w.pass(time.Second)
		if len(told) != 2 || !errors.Is(told[0], memstore.ErrFailed) || !errors.Is(told[1], memstore.ErrFailed) {
			t.Fatalf("told %v, want two failures", told)
		}
		if n.has(t, "t/a") != "" {
			t.Error("the store shows what it failed to write")
		}
		end()
		w.pass(time.Second)
		kept[n.has(t, "t/a") != ""] = true
		n.put(intake, "t/c", note)
		w.pass(time.Second)
		if len(told) != 3 || told[2] != nil || n.has(t, "t/b") != "" {
			t.Errorf("after the restart %v, and the write that was refused is %q", told, n.has(t, "t/b"))
		}
	}
	if len(kept) != 2 {
		t.Errorf("a write whose fsync failed was kept %v, want both outcomes", kept)
	}
}

// Below the reserve clients are refused, and sync goes on.
func TestReserve(t *testing.T) {
	t.Parallel()
	w := running(t, 1, 1, nil)
	n := w.byLane["edge-1"]
	end := w.strike(Fault{Kind: DiskReserve, Nodes: []string{n.lane}})
	var client, sync error
	n.put(intake, "t/a", func(err error) { client = err })
	n.put(forSync, "t/b", func(err error) { sync = err })
	w.pass(time.Second)
	if !errors.Is(client, errReserve) || codeOf(client) != "disk_reserve" || sync != nil || n.has(t, "t/b") == "" {
		t.Errorf("a client got %v, sync %v", client, sync)
	}
	end()
	n.put(intake, "t/a", func(err error) { client = err })
	w.pass(time.Second)
	if client != nil {
		t.Errorf("after the fault a client got %v", client)
	}
}

// A full disk takes no write, is no less full after a crash, and is usable when
// there is room again.
func TestFullDisk(t *testing.T) {
	t.Parallel()
	w := running(t, 1, 1, nil)
	n := w.byLane["edge-1"]
	end := w.strike(Fault{Kind: DiskFull, Nodes: []string{n.lane}})
	told := error(nil)
	write := func() error {
		n.put(forSync, "t/a", func(err error) { told = err })
		w.pass(time.Second)
		return told
	}
	if err := write(); !errors.Is(err, memstore.ErrFull) || codeOf(err) != "disk_full" {
		t.Errorf("a write got %v, want a full disk", err)
	}
	n.crash()
	n.start()
	if err := write(); !errors.Is(err, memstore.ErrFull) {
		t.Errorf("after a crash a write got %v, want a full disk", err)
	}
	end()
	if err := write(); err != nil {
		t.Errorf("with room again a write got %v", err)
	}
	w.noProblems(t)
}

// A slow disk delays each commit.
func TestSlowDisk(t *testing.T) {
	t.Parallel()
	w := running(t, 1, 1, nil)
	n := w.byLane["edge-1"]
	end := w.strike(Fault{Kind: SlowDisk, Nodes: []string{n.lane}, Delay: 3 * time.Second})
	told := false
	n.put(intake, "t/a", func(error) { told = true })
	w.pass(2900 * time.Millisecond)
	if told {
		t.Error("a write was told before the slow disk had it")
	}
	w.pass(200 * time.Millisecond)
	end()
	if !told {
		t.Error("a write was not told after the delay")
	}
}
