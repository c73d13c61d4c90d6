package store_test

import (
	"fmt"
	"os"
	"path/filepath"
	"slices"
	"testing"

	"github.com/causeway-sync/causeway/internal/store"
	"github.com/causeway-sync/causeway/session"
)

// A kill between making a file and giving it its size leaves it empty, and so
// does one between emptying and deleting it, which is how Badger removes what it
// has flushed. Badger does not open then; found by killing edges again and again.
func TestEmptyFileIsNoDamage(t *testing.T) {
	t.Parallel()
	for _, kind := range []struct{ ext, name string }{{".mem", "%05d.mem"}, {".vlog", "%06d.vlog"}} {
		t.Run(kind.ext, func(t *testing.T) {
			t.Parallel()
			r := start(t, options(t))
			put := func(key string) {
				t.Helper()
				if err := r.Update(func(tx session.Tx) error { return tx.Put([]byte(key), make([]byte, 400)) }); err != nil {
					t.Fatal(err)
				}
			}
			put("a")
			im := readImage(t, r.opt.Dir)
			killed := t.TempDir()
			im.write(t, killed)
			files, err := filepath.Glob(filepath.Join(killed, "db", "*"+kind.ext))
			if err != nil || len(files) == 0 {
				t.Fatalf("files %v, %v", files, err)
			}
			slices.Sort(files)
			var id int
			if _, err := fmt.Sscanf(filepath.Base(files[len(files)-1]), "%d", &id); err != nil {
				t.Fatal(err)
			}
			for _, other := range []int{0, id + 1} {
				if err := os.WriteFile(filepath.Join(killed, "db", fmt.Sprintf(kind.name, other)), nil, 0o600); err != nil {
					t.Fatal(err)
				}
			}
			o := r.opt
			o.Dir = killed
			s, err := store.Open(o)
			if err != nil {
				t.Fatalf("Open beside empty files: %v", err)
			}
			defer func() {
				if err := s.Close(); err != nil {
					t.Error(err)
				}
			}()
			err = s.View(func(v session.Reader) error {
				if got, err := v.Get([]byte("a")); len(got) != 400 || err != nil {
					t.Errorf("Get = %d bytes, %v, want 400", len(got), err)
				}
				return nil
			})
			if err != nil || s.Lost() != nil {
				t.Errorf("View: %v; lost %v", err, s.Lost())
			}
		})
	}
}
