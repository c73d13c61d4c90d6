package main

import (
	"context"
	"encoding/binary"
	"encoding/json"
	"fmt"
	"io"
	"net"
	"net/http"
	"runtime"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// bareRole as the first argument makes this program the bare reference.
const bareRole = "bare-handler"

// group is the least that group commit on Badger needs: whoever waits is put
// into one synced transaction of one record each.
type group struct {
	db    *badger.DB
	queue chan bareWrite
	next  uint64
}

type bareWrite struct {
	value []byte
	done  chan error
}

// bareOptions are those of an edge's store.
func bareOptions(dir string) badger.Options {
	o := badger.DefaultOptions(dir).WithLogger(nil).WithSyncWrites(true).WithDetectConflicts(false)
	o.VerifyValueChecksum = true
	o.Compression, o.BlockCacheSize, o.IndexCacheSize, o.MetricsEnabled = options.None, 0, 0, false
	o.NumCompactors, o.NumGoroutines = 2, 1
	o.MemTableSize, o.NumMemtables = 4<<20, 2
	o.NumLevelZeroTables, o.NumLevelZeroTablesStall = 2, 6
	o.BaseTableSize, o.BaseLevelSize = 1<<20, 8<<20
	o.ValueThreshold, o.ValueLogFileSize = 256, 32<<20
	return o
}

func (g *group) run() {
	for first := range g.queue {
		waiting := []bareWrite{first}
		for before := 0; before < len(waiting); runtime.Gosched() { // as the store gathers
			before = len(waiting)
			for more := true; more && len(waiting) < 512; {
				select {
				case w := <-g.queue:
					waiting = append(waiting, w)
				default:
					more = false
				}
			}
		}
		err := g.commit(waiting)
		for _, w := range waiting {
			w.done <- err
		}
	}
}

func (g *group) commit(waiting []bareWrite) error {
	txn := g.db.NewTransaction(true)
	defer txn.Discard()
	for _, w := range waiting {
		g.next++
		if err := txn.Set(binary.BigEndian.AppendUint64([]byte("op/"), g.next), w.value); err != nil {
			return err
		}
	}
	return txn.Commit()
}

// bareMessage is what the bare handler decodes and answers.
type bareMessage struct {
	Role    string          `json:"role"`
	Content json.RawMessage `json:"content"`
}

func (g *group) serve(w http.ResponseWriter, r *http.Request) {
	body, err := io.ReadAll(r.Body)
	var m bareMessage
	if err == nil {
		err = json.Unmarshal(body, &m)
	}
	if err == nil {
		bw := bareWrite{value: body, done: make(chan error, 1)}
		g.queue <- bw
		err = <-bw.done
	}
	if err != nil {
		http.Error(w, err.Error(), http.StatusInternalServerError)
		return
	}
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(http.StatusCreated)
	_, _ = io.WriteString(w, `{"ok":true}`) // a client that is gone does not matter
}

// serveBare is the reference process: nothing but net/http, JSON and Badger.
func serveBare(ctx context.Context, dir string) error {
	db, err := badger.Open(bareOptions(dir))
	if err != nil {
		return err
	}
	g := &group{db: db, queue: make(chan bareWrite, 1024)}
	go g.run()
	l, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		return err
	}
	srv := &http.Server{Handler: http.HandlerFunc(g.serve)}
	context.AfterFunc(ctx, func() { _ = srv.Close() })
	fmt.Printf("answers at http://%s\n", l.Addr())
	if err := srv.Serve(l); ctx.Err() == nil {
		return err
	}
	return nil
}
