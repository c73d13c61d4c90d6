package store_test

import (
	"bytes"
	"context"
	"encoding/binary"
	"fmt"
	"os"
	"path/filepath"
	"runtime"
	"runtime/debug"
	"strings"
	"sync"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/session"
)

const benchPayload = 500

// rawLog is the reference: appends of waiting records, one fdatasync a group.
type rawLog struct {
	file  *os.File
	queue chan chan error
}

func (l *rawLog) run(ctx context.Context) {
	var buf []byte
	record := bytes.Repeat([]byte("r"), benchPayload+32)
	for {
		var waiting []chan error
		select {
		case <-ctx.Done():
			return
		case done := <-l.queue:
			waiting = append(waiting, done)
		}
		for more := true; more && len(waiting) < 512; {
			select {
			case done := <-l.queue:
				waiting = append(waiting, done)
			default:
				more = false
			}
		}
		buf = buf[:0]
		for range waiting {
			buf = append(buf, record...)
		}
		_, err := l.file.Write(buf)
		if err == nil {
			err = syscall.Fdatasync(int(l.file.Fd()))
		}
		for _, done := range waiting {
			done <- err
		}
	}
}

func (l *rawLog) write() error {
	done := make(chan error, 1)
	l.queue <- done
	return <-done
}

// load has writers write for a while and gives writes a second.
func load(b *testing.B, writers int, for_ time.Duration, write func() error) float64 {
	b.Helper()
	var count atomic.Int64
	var all sync.WaitGroup
	began := time.Now()
	for range writers {
		all.Go(func() {
			for time.Since(began) < for_ {
				if err := write(); err != nil {
					b.Error(err)
					return
				}
				count.Add(1)
			}
		})
	}
	all.Wait()
	return float64(count.Load()) / time.Since(began).Seconds()
}

// BenchmarkCommit prints durable writes a second of the store beside raw group
// commit of the same payload, and what the high-water file costs. The three are
// measured in turns, because a disk changes its speed from second to second.
func BenchmarkCommit(b *testing.B) {
	for _, writers := range []int{1, 64} {
		for name, options := range map[string]func(string) store.Options{
			"edge": store.DefaultOptions, "core": store.CoreOptions,
		} {
			b.Run(fmt.Sprintf("%s/writers=%d", name, writers), func(b *testing.B) {
				benchCommit(b, writers, options)
			})
		}
	}
}

func benchCommit(b *testing.B, writers int, options func(string) store.Options) {
	payload := bytes.Repeat([]byte("p"), benchPayload)
	var written atomic.Uint64
	open := func(noHighWater bool) *running {
		o := options(b.TempDir())
		o.ReserveBytes, o.NoHighWater = 0, noHighWater
		return start(b, o)
	}
	put := func(r *running, count *atomic.Uint64) func() error {
		return func() error {
			key := binary.BigEndian.AppendUint64([]byte("o/bench/"), count.Add(1))
			return r.Update(func(tx session.Tx) error { return tx.Put(key, payload) })
		}
	}
	file, err := os.Create(filepath.Join(b.TempDir(), "raw"))
	if err != nil {
		b.Fatal(err)
	}
	defer file.Close()
	ctx, stop := context.WithCancel(context.Background())
	defer stop()
	raw := &rawLog{file: file, queue: make(chan chan error, 1024)}
	go raw.run(ctx)

	with, without := open(false), open(true)
	const turn = 150 * time.Millisecond
	var sum [3]float64
	turns := 0
	for b.Loop() {
		sum[0] += load(b, writers, turn, raw.write)
		sum[1] += load(b, writers, turn, put(with, &written))
		sum[2] += load(b, writers, turn, put(without, new(atomic.Uint64)))
		turns++
	}
	n := float64(turns)
	b.ReportMetric(sum[0]/n, "raw/s")
	b.ReportMetric(sum[1]/n, "store/s")
	b.ReportMetric(sum[1]/sum[0], "store:raw")
	b.ReportMetric(sum[1]/sum[2], "highwater:without")
	b.ReportMetric(float64(written.Load())/float64(with.Stats().Groups), "writes/group")
	b.ReportMetric(0, "ns/op")
}

// BenchmarkRead prints what reading costs.
func BenchmarkRead(b *testing.B) {
	o := store.DefaultOptions(b.TempDir())
	o.ReserveBytes = 0
	r := start(b, o)
	const keys = 20000
	for from := 0; from < keys; from += 1000 {
		err := r.Update(func(tx session.Tx) error {
			for i := from; i < from+1000; i++ {
				if err := tx.Put(fmt.Appendf(nil, "k/%06d", i), bytes.Repeat([]byte("v"), benchPayload)); err != nil {
					return err
				}
			}
			return nil
		})
		if err != nil {
			b.Fatal(err)
		}
	}
	r.Reopen(b)
	b.Run("get", func(b *testing.B) {
		i := 0
		for b.Loop() {
			i = (i + 7919) % keys
			if getOne(b, r, fmt.Sprintf("k/%06d", i)) == "" {
				b.Fatal("absent")
			}
		}
	})
	for _, reverse := range []bool{false, true} {
		b.Run(fmt.Sprintf("scan 10, reverse %v", reverse), func(b *testing.B) {
			i := 0
			for b.Loop() {
				i = (i + 7919) % keys
				err := r.View(func(v session.Reader) error {
					n := 0
					for _, err := range v.Scan([]byte("k/"), fmt.Appendf(nil, "k/%06d", i), reverse) {
						if err != nil {
							return err
						}
						if n++; n == 10 {
							break
						}
					}
					return nil
				})
				if err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// BenchmarkMemory prints the anonymous memory of the process while 10,000
// sessions of 10 messages are written, and after the store was opened again.
func BenchmarkMemory(b *testing.B) {
	if anonymous(b) == 0 {
		b.Skip("the system does not tell anonymous memory")
	}
	for b.Loop() {
		o := store.DefaultOptions(b.TempDir())
		o.ReserveBytes = 0
		r := start(b, o)
		payload := bytes.Repeat([]byte("p"), 400)
		var peak uint64
		for number := range 10_000 {
			err := r.Update(func(tx session.Tx) error {
				for i := range 10 {
					if err := tx.Put(fmt.Appendf(nil, "o/%05d/%02d", number, i), payload); err != nil {
						return err
					}
					if err := tx.Put(fmt.Appendf(nil, "s/%05d/l%02d", number, i), payload[:40]); err != nil {
						return err
					}
				}
				return tx.Put(fmt.Appendf(nil, "s/%05d/m", number), payload[:150])
			})
			if err != nil {
				b.Fatal(err)
			}
			if number%500 == 0 {
				peak = max(peak, anonymous(b))
			}
		}
		b.ReportMetric(float64(peak)/(1<<20), "peak-MiB")
		began := time.Now()
		r.Reopen(b)
		b.ReportMetric(float64(time.Since(began).Milliseconds()), "reopen-ms")
		runtime.GC()
		debug.FreeOSMemory()
		b.ReportMetric(float64(anonymous(b))/(1<<20), "reopened-MiB")
		b.ReportMetric(float64(r.Stats().BytesOnDisk)/(1<<20), "disk-MiB")
	}
}

// anonymous gives the process's anonymous resident bytes, 0 if unknown.
func anonymous(b *testing.B) uint64 {
	b.Helper()
	status, err := os.ReadFile("/proc/self/status")
	if err != nil {
		return 0
	}
	for line := range strings.Lines(string(status)) {
		var kib uint64
		if _, err := fmt.Sscanf(line, "RssAnon: %d kB", &kib); err == nil {
			return kib << 10
		}
	}
	return 0
}
