package main

import (
	"bytes"
	"context"
	"encoding/binary"
	"errors"
	"os"
	"path/filepath"
	"runtime"
	"sync"
	"sync/atomic"
	"syscall"
	"time"

	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/session"
)

// rawLog appends what waits and syncs once: the limit of group commit.
type rawLog struct {
	file  *os.File
	queue chan chan error
}

func (l *rawLog) run() {
	record := bytes.Repeat([]byte("r"), payloadBytes+32)
	var buf []byte
	for first := range l.queue {
		waiting := []chan error{first}
		for before := 0; before < len(waiting); runtime.Gosched() { // as the store gathers
			before = len(waiting)
			for more := true; more && len(waiting) < 512; {
				select {
				case done := <-l.queue:
					waiting = append(waiting, done)
				default:
					more = false
				}
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

// hammer has writers write for a while and gives writes a second.
func hammer(writers int, span time.Duration, write func() error) (float64, error) {
	var count atomic.Int64
	var all sync.WaitGroup
	errs := make([]error, writers)
	began := time.Now()
	for i := range writers {
		all.Go(func() {
			for time.Since(began) < span && errs[i] == nil {
				errs[i] = write()
				count.Add(1)
			}
		})
	}
	all.Wait()
	return float64(count.Load()) / time.Since(began).Seconds(), errors.Join(errs...)
}

// committerLine measures the store below the API.
func committerLine(ctx context.Context, b *bench) error {
	file, err := os.Create(filepath.Join(b.dir, "raw.log"))
	if err != nil {
		return err
	}
	defer file.Close()
	raw := &rawLog{file: file, queue: make(chan chan error, 1024)}
	defer close(raw.queue)
	go raw.run()
	s, err := store.Open(store.DefaultOptions(filepath.Join(b.dir, "committer")))
	if err != nil {
		return err
	}
	run, stop := context.WithCancel(ctx)
	done := make(chan error, 1)
	go func() { done <- s.Run(run) }()
	defer func() {
		stop()
		if err := errors.Join(<-done, s.Close()); err != nil {
			progress("store: %v", err)
		}
	}()
	var next atomic.Uint64
	value := bytes.Repeat([]byte("v"), payloadBytes)
	update := func() error {
		key := binary.BigEndian.AppendUint64([]byte("o/"), next.Add(1))
		return s.Update(ctx, store.Intake, func(tx session.Tx) error { return tx.Put(key, value) })
	}
	for _, writers := range []int{64, 1} {
		var ours, ref []float64
		for range b.rounds {
			r, err := hammer(writers, b.span/2, raw.write)
			if err != nil {
				return err
			}
			o, err := hammer(writers, b.span/2, update)
			if err != nil {
				return err
			}
			ours, ref = append(ours, o), append(ref, r)
		}
		m, r := median(ours), median(ref)
		line := row{what: "committer, 1 writer", measured: perSecond(m), reference: "raw fdatasync " + perSecond(r),
			ratio: ratio(m, r)}
		if writers == 64 {
			line.what, line.budget, line.verdict = "committer, 64 writers", ">= 0.75 of raw", judge(m >= 0.75*r)
		}
		b.add(line)
	}
	return nil
}
