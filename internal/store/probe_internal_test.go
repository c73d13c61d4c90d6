package store

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"hash/crc32"
	"math"
	"os"
	"path/filepath"
	"testing"

	"pgregory.net/rapid"
)

// logEntryBytes encodes an entry as Badger does.
func logEntryBytes(meta byte, key string, version uint64, value string) []byte {
	full := binary.BigEndian.AppendUint64([]byte(key), math.MaxUint64-version)
	if meta&bitFinTxn != 0 {
		value = fmt.Sprint(version)
	}
	b := []byte{meta, 0}
	b = binary.AppendUvarint(b, uint64(len(full)))
	b = binary.AppendUvarint(b, uint64(len(value)))
	b = binary.AppendUvarint(b, 0)
	b = append(append(b, full...), value...)
	return binary.BigEndian.AppendUint32(b, crc32.Checksum(b, castagnoli))
}

// writeAhead makes a write-ahead file with one transaction for each version.
func writeAhead(t *testing.T, dir string, id int, versions ...uint64) string {
	t.Helper()
	b := make([]byte, logHeaderBytes)
	for _, v := range versions {
		b = append(b, logEntryBytes(bitTxn, "k", v, "value")...)
		b = append(b, logEntryBytes(bitTxn, "l", v, "value")...)
		b = append(b, logEntryBytes(bitFinTxn, "!badger!txn", v, "")...)
	}
	path := filepath.Join(dir, fmt.Sprintf("%05d.mem", id))
	if err := os.WriteFile(path, append(b, make([]byte, 1000)...), 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// A write-ahead file that lost its end while a later one has later commits
// would open with commits missing in the middle.
func TestGapBetweenWriteAheadFiles(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		tables uint64
		first  []uint64
		second []uint64
		gap    bool
	}{
		{"in order", 4, []uint64{5, 6, 7}, []uint64{8, 9}, false},
		{"flushed and not yet deleted", 7, []uint64{5, 6, 7}, []uint64{8}, false},
		{"second is empty", 4, []uint64{5}, nil, false},
		{"first lost its end", 4, []uint64{5, 6}, []uint64{8, 9}, true},
		{"first lost everything", 4, nil, []uint64{8, 9}, true},
		{"a table is missing", 2, []uint64{5}, []uint64{6}, true},
	}
	for _, tt := range tests {
		t.Run(tt.name, func(t *testing.T) {
			t.Parallel()
			dir := t.TempDir()
			writeAhead(t, dir, 1, tt.first...)
			writeAhead(t, dir, 2, tt.second...)
			names, err := listed(dir)
			if err != nil {
				t.Fatal(err)
			}
			_, err = probeMemtables(dir, names, tt.tables)
			if _, gap := errors.AsType[*DamageError](err); gap != tt.gap {
				t.Errorf("probeMemtables = %v, want damage %v", err, tt.gap)
			}
		})
	}
}

// A crash may tear the last record of a manifest; a damaged length is not that.
func TestTornRecord(t *testing.T) {
	t.Parallel()
	body := []byte("create table 1, create table 2")
	record := binary.BigEndian.AppendUint32(nil, uint32(len(body)))
	record = binary.BigEndian.AppendUint32(record, crc32.Checksum(body, castagnoli))
	record = append(record, body...)
	for cut := range len(record) {
		if !tornRecord(record[:cut]) {
			t.Errorf("a record cut to %d of %d does not count as torn", cut, len(record))
		}
	}
	damagedLength := bytes.Clone(record)
	damagedLength[3] ^= 0x40
	if tornRecord(append(damagedLength, "more records"...)) {
		t.Error("a record with a damaged length counts as torn")
	}
}

// Damage in the middle of a log is told from its end.
func TestWalkLog(t *testing.T) {
	t.Parallel()
	header := make([]byte, logHeaderBytes)
	var entries [][]byte
	for v := uint64(1); v <= 5; v++ {
		entries = append(entries, logEntryBytes(0, "key", v, "some value"))
	}
	whole := append(bytes.Clone(header), bytes.Join(entries, nil)...)
	rapid.Check(t, func(rt *rapid.T) {
		b := append(bytes.Clone(whole), make([]byte, rapid.IntRange(0, 100).Draw(rt, "zeros"))...)
		at := rapid.IntRange(logHeaderBytes, len(whole)-1).Draw(rt, "at")
		b[at] ^= 1 << rapid.IntRange(0, 7).Draw(rt, "bit")
		hit := (at - logHeaderBytes) / len(entries[0])
		end := walkLog(b)
		if want := logHeaderBytes + hit*len(entries[0]); end.offset != want {
			rt.Fatalf("damage at %d: offset = %d, want %d", at, end.offset, want)
		}
		want := uint64(hit + 2)
		if hit == 4 {
			want = 0
		}
		if end.later != want {
			rt.Fatalf("damage at %d: later = %d, want %d", at, end.later, want)
		}
	})
	if end := walkLog(whole); end.offset != len(whole) || end.later != 0 {
		t.Errorf("walkLog of a whole file = %+v", end)
	}
}

func FuzzWalkLog(f *testing.F) {
	f.Add(logEntryBytes(0, "key", 1, "value"))
	f.Add(append(logEntryBytes(bitTxn, "key", 1, "value"), logEntryBytes(bitFinTxn, "!badger!txn", 1, "")...))
	f.Fuzz(func(t *testing.T, b []byte) {
		end := walkLog(append(make([]byte, logHeaderBytes), b...))
		if end.offset < logHeaderBytes || end.offset > logHeaderBytes+len(b) {
			t.Errorf("walkLog ends at %d of %d", end.offset, len(b))
		}
		tornRecord(b)
	})
}

func FuzzHighwaterSlot(f *testing.F) {
	f.Add(encodeSlot(state{committed: 4, pending: 5}, 9))
	f.Add(encodeSlot(state{lost: &Loss{Committed: 3, Found: 1}}, 1))
	f.Fuzz(func(t *testing.T, b []byte) {
		st, serial, ok := decodeSlot(b)
		if !ok {
			return
		}
		if again := encodeSlot(st, serial); !bytes.Equal(again[:8], b[:8]) {
			t.Errorf("a slot was read that does not begin with %q", slotMagic)
		}
	})
}

func FuzzIdentity(f *testing.F) {
	f.Add(formatIdentity("abc", birthmark{1, 2, 3}))
	f.Fuzz(func(t *testing.T, text string) {
		if id, mark, ok := parseIdentity(text); ok && formatIdentity(id, mark) != text {
			t.Errorf("parseIdentity(%q) is not the inverse of formatIdentity", text)
		}
	})
}

// The slots are a format on disk: these bytes must stay readable.
func TestHighwaterGolden(t *testing.T) {
	t.Parallel()
	const golden = "6377686967683031" + "0000000000000009" + "0000000000000004" + "0000000000000005" +
		"0000000000000001" + "0000000000000003" + "0000000000000001"
	st := state{committed: 4, pending: 5, lost: &Loss{Committed: 3, Found: 1}}
	b := encodeSlot(st, 9)
	if got := fmt.Sprintf("%x", b[:slotPayload]); got != golden {
		t.Errorf("encodeSlot = %s, want %s", got, golden)
	}
	got, serial, ok := decodeSlot(b)
	if !ok || serial != 9 || got.committed != 4 || got.pending != 5 || *got.lost != *st.lost {
		t.Errorf("decodeSlot = %+v, %d, %v", got, serial, ok)
	}
}

// The newer slot may be damaged: then the older one counts, and no commit that
// is there is taken for lost.
func TestHighwaterSlots(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	h, err := openHighwater(dir)
	if err != nil {
		t.Fatal(err)
	}
	if h.known {
		t.Error("a new file has a valid slot")
	}
	for n := uint64(1); n <= 3; n++ {
		if err := errors.Join(h.advance(n-1, n, true), h.advance(n, 0, false)); err != nil {
			t.Fatal(err)
		}
	}
	newest := int64(h.serial%2) * slotBytes
	if _, err := h.file.WriteAt([]byte{0xff}, newest+20); err != nil {
		t.Fatal(err)
	}
	if err := h.close(); err != nil {
		t.Fatal(err)
	}
	if h, err = openHighwater(dir); err != nil {
		t.Fatal(err)
	}
	defer h.close()
	if !h.known || h.state.committed != 2 || h.state.pending != 3 {
		t.Errorf("state = %+v, known %v, want committed 2, pending 3", h.state, h.known)
	}
}
