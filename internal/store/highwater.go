package store

import (
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"sync"
)

// highwater is a small file beside Badger that remembers how far commits have
// come, because Badger opens a damaged log cleanly and without its tail.
//
// It has two slots of 4 KiB, written in turn; the valid one with the higher
// serial counts. Before callers are answered for commit n, the file says
// "committed n-1, pending n" on disk; afterwards "committed n", not synced. So
// a store that is below committed has lost acknowledged commits, and one that
// is below pending may have.
type highwater struct {
	file  *os.File
	known bool // a valid slot was found at open

	mu     sync.Mutex // guards what follows
	state  state
	serial uint64
}

// state is what a slot says.
type state struct {
	committed uint64
	pending   uint64 // 0 for none
	lost      *Loss  // found at an open, not yet acted on
}

const (
	slotBytes   = 4 << 10
	slotPayload = 8 + 6*8 // magic, serial, committed, pending, lost: kind, committed, found
	slotMagic   = "cwhigh01"
)

// The kinds of loss in a slot.
const (
	lostNothing = iota
	lostCommits
	lostTrack // Loss.Unconfirmed
)

var castagnoli = crc32.MakeTable(crc32.Castagnoli)

// openHighwater opens or makes the file in dir.
func openHighwater(dir string) (*highwater, error) {
	path := filepath.Join(dir, "highwater")
	file, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if err != nil {
		return nil, fmt.Errorf("open high-water file: %w", err)
	}
	h := &highwater{file: file}
	if err := h.load(dir); err != nil {
		return nil, errors.Join(fmt.Errorf("read high-water file: %w", err), file.Close())
	}
	return h, nil
}

func (h *highwater) load(dir string) error {
	buf := make([]byte, 2*slotBytes)
	n, err := h.file.ReadAt(buf, 0)
	if n < len(buf) {
		// New, or cut short: give it its size now, so that later writes need
		// not change the file's metadata.
		if _, err = h.file.WriteAt(buf[n:], int64(n)); err == nil {
			err = errors.Join(h.file.Sync(), syncDir(dir))
		}
	}
	if err != nil {
		return err
	}
	for i := range 2 {
		st, serial, ok := decodeSlot(buf[i*slotBytes:])
		if ok && serial > h.serial {
			h.state, h.serial, h.known = st, serial, true
		}
	}
	return nil
}

// advance writes new numbers and keeps what is said about a loss.
func (h *highwater) advance(committed, pending uint64, sync bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.put(state{committed: committed, pending: pending, lost: h.state.lost}, sync)
}

// write replaces everything.
func (h *highwater) write(st state, sync bool) error {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.put(st, sync)
}

// forgive drops what is said about a loss.
func (h *highwater) forgive() error {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.state.lost == nil {
		return nil
	}
	st := h.state
	st.lost = nil
	return h.put(st, true)
}

func (h *highwater) loss() *Loss {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.state.lost
}

// put needs mu.
func (h *highwater) put(st state, sync bool) error {
	h.state = st
	h.serial++
	at := int64(h.serial%2) * slotBytes
	if _, err := h.file.WriteAt(encodeSlot(st, h.serial), at); err != nil {
		return fmt.Errorf("write high-water file: %w", err)
	}
	if !sync {
		return nil
	}
	if err := syncData(h.file); err != nil {
		return fmt.Errorf("sync high-water file: %w", err)
	}
	return nil
}

func (h *highwater) close() error { return h.file.Close() }

func encodeSlot(st state, serial uint64) []byte {
	b := append(make([]byte, 0, slotPayload+4), slotMagic...)
	kind, lost := uint64(lostNothing), Loss{}
	if st.lost != nil {
		kind, lost = lostCommits, *st.lost
		if lost.Unconfirmed {
			kind = lostTrack
		}
	}
	for _, n := range []uint64{serial, st.committed, st.pending, kind, lost.Committed, lost.Found} {
		b = binary.BigEndian.AppendUint64(b, n)
	}
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

func decodeSlot(b []byte) (st state, serial uint64, ok bool) {
	if len(b) < slotPayload+4 || string(b[:8]) != slotMagic {
		return state{}, 0, false
	}
	if crc32.Checksum(b[:slotPayload], castagnoli) != binary.BigEndian.Uint32(b[slotPayload:]) {
		return state{}, 0, false
	}
	field := func(i int) uint64 { return binary.BigEndian.Uint64(b[8+8*i:]) }
	st = state{committed: field(1), pending: field(2)}
	if kind := field(3); kind != lostNothing {
		st.lost = &Loss{Committed: field(4), Found: field(5), Unconfirmed: kind == lostTrack}
	}
	return st, field(0), true
}
