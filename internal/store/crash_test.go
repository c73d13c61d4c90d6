package store_test

import (
	"bufio"
	"context"
	"encoding/binary"
	"fmt"
	"math/rand/v2"
	"os"
	"os/exec"
	"strconv"
	"sync"
	"testing"

	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/session"
)

// childDir names the directory that this process, as a child, writes to.
const childDir = "CAUSEWAY_STORE_TEST_DIR"

func TestMain(m *testing.M) {
	if dir := os.Getenv(childDir); dir != "" {
		if err := writeForEver(dir); err != nil {
			fmt.Fprintln(os.Stderr, err)
			os.Exit(1)
		}
		return
	}
	os.Exit(m.Run())
}

// crashWriters is how many goroutines write in the child.
const crashWriters = 8

// writeForEver writes numbered keys and prints each number after it was
// acknowledged, until it is killed.
func writeForEver(dir string) error {
	o := store.DefaultOptions(dir)
	o.ReserveBytes = 0
	s, err := store.Open(o)
	if err != nil {
		return err
	}
	if s.Lost() != nil {
		return fmt.Errorf("lost: %v", s.Lost())
	}
	next := uint64(0)
	err = s.View(func(r session.Reader) error {
		for e, err := range r.Scan([]byte("c/"), nil, true) {
			if err != nil {
				return err
			}
			next = binary.BigEndian.Uint64(e.Key[2:]) + 1
			break
		}
		return nil
	})
	if err != nil {
		return err
	}
	var mu sync.Mutex // guards next and standard output
	var writers sync.WaitGroup
	for range crashWriters {
		writers.Go(func() {
			for {
				mu.Lock()
				n := next
				next++
				mu.Unlock()
				err := s.Update(context.Background(), store.Intake, func(tx session.Tx) error {
					return tx.Put(crashKey(n), crashValue(n))
				})
				if err != nil {
					return
				}
				mu.Lock()
				fmt.Println(n)
				mu.Unlock()
			}
		})
	}
	return s.Run(context.Background())
}

func crashKey(n uint64) []byte { return binary.BigEndian.AppendUint64([]byte("c/"), n) }

// crashValue is different for each number, and big for some.
func crashValue(n uint64) []byte {
	random := rand.New(rand.NewPCG(n, n))
	value := make([]byte, 40+random.IntN(100))
	if n%4 == 0 {
		value = make([]byte, 300+random.IntN(4000))
	}
	for i := range value {
		value[i] = byte(random.Uint32())
	}
	return value
}

// What was acknowledged before a SIGKILL is there afterwards, whole; and no
// loss is reported that did not happen.
func TestKill(t *testing.T) {
	t.Parallel()
	o := options(t)
	acknowledged := map[uint64]bool{}
	random := rand.New(rand.NewPCG(11, 11))
	for round := range rounds(t, 6) {
		for _, n := range killed(t, o.Dir, 1+random.IntN(200)) {
			acknowledged[n] = true
		}
		s, err := store.Open(o)
		if err != nil {
			t.Fatalf("round %d: Open: %v", round, err)
		}
		if s.Lost() != nil {
			t.Errorf("round %d: Lost() = %v", round, s.Lost())
		}
		err = s.View(func(r session.Reader) error {
			for n := range acknowledged {
				got, err := r.Get(crashKey(n))
				if err != nil || string(got) != string(crashValue(n)) {
					t.Errorf("round %d: acknowledged write %d: %d bytes, %v", round, n, len(got), err)
				}
			}
			return nil
		})
		if err != nil {
			t.Errorf("round %d: View: %v", round, err)
		}
		if err := s.Close(); err != nil {
			t.Errorf("round %d: Close: %v", round, err)
		}
	}
	t.Logf("%d acknowledged writes", len(acknowledged))
}

// killed runs a child on dir until it has acknowledged some writes, kills it,
// and gives all the numbers that it printed.
func killed(t *testing.T, dir string, after int) []uint64 {
	t.Helper()
	self, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	child := exec.Command(self)
	child.Env = append(os.Environ(), childDir+"="+dir)
	child.Stderr = os.Stderr
	out, err := child.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := child.Start(); err != nil {
		t.Fatal(err)
	}
	var numbers []uint64
	lines := bufio.NewScanner(out)
	for lines.Scan() {
		n, err := strconv.ParseUint(lines.Text(), 10, 64)
		if err != nil {
			break // a line that the kill cut off
		}
		numbers = append(numbers, n)
		if len(numbers) == after {
			if err := child.Process.Kill(); err != nil {
				t.Fatal(err)
			}
		}
	}
	if err := child.Wait(); err == nil || len(numbers) < after {
		t.Fatalf("child ended with %v after %d of %d writes", err, len(numbers), after)
	}
	return numbers
}
