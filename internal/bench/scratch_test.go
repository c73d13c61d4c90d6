package main

import (
	"context"
	"log/slog"
	"os"
	"runtime/pprof"
	"syscall"
	"testing"
	"time"

	"github.com/causeway-sync/causeway/edge"
)

func cpu() time.Duration {
	var u syscall.Rusage
	syscall.Getrusage(syscall.RUSAGE_SELF, &u)
	return time.Duration(u.Utime.Nano() + u.Stime.Nano())
}

func TestScratch(t *testing.T) {
	if os.Getenv("SCRATCH") == "" {
		t.Skip()
	}
	cfg := edge.DefaultConfig()
	cfg.Data, cfg.API, cfg.Core = t.TempDir(), "127.0.0.1:0", nil
	e, err := edge.Open(context.Background(), cfg, "x", slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan error, 1)
	go func() { done <- e.Run(ctx) }()
	if err := open(e.Addr(), "a", clients); err != nil {
		t.Fatal(err)
	}
	f, _ := os.Create("/tmp/cpu.prof")
	for i := range 3 {
		if i == 2 {
			pprof.StartCPUProfile(f)
		}
		began, at := time.Now(), cpu()
		w, err := load(e.Addr(), clients, 3*time.Second, single)
		if err != nil {
			t.Fatal(err)
		}
		n := w.rate * 3 * (time.Since(began).Seconds() / 3)
		t.Logf("single %v cpu/op %v", w, (cpu()-at)/time.Duration(n))
	}
	pprof.StopCPUProfile()
	f.Close()
	cancel()
	<-done
}
