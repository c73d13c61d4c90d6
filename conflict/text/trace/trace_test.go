package trace_test

import (
	"bytes"
	"compress/gzip"
	"errors"
	"strings"
	"testing"

	"github.com/causeway-sync/causeway/conflict/text/trace"
	"github.com/causeway-sync/causeway/internal/purity"
)

func TestPure(t *testing.T) { purity.Check(t) }

func TestRead(t *testing.T) {
	t.Parallel()
	const plain = `{"startContent":"ab","endContent":"a\"é😀b","txns":[{"patches":[[1,0,"\"\u00e9"],[ 3 , 0 , "😀"]]}]}`
	var packed bytes.Buffer
	z := gzip.NewWriter(&packed)
	_, err := z.Write([]byte(plain))
	if err := errors.Join(err, z.Close()); err != nil {
		t.Fatal(err)
	}
	for _, in := range []string{plain, packed.String()} {
		tr, err := trace.Read(strings.NewReader(in))
		if err != nil {
			t.Fatal(err)
		}
		d, err := tr.Replay()
		if err != nil || d.String() != tr.EndContent || tr.Patches() != 2 || tr.Concurrent() {
			t.Errorf("replay of %s = %q, %v", plain, d.String(), err)
		}
	}
}

func TestReadRefuses(t *testing.T) {
	t.Parallel()
	for _, in := range []string{
		``, `{}`, `[]`, `{"txns":1}`, `{"kind":"other","txns":[]}`, `{"txns":[{"patches":[[1,2]]}]}`,
		`{"txns":[{"patches":[[1,2,"a",4]]}]}`, `{"txns":[{"patches":[["1",2,"a"]]}]}`, "\x1f\x8b",
	} {
		if tr, err := trace.Read(strings.NewReader(in)); err == nil {
			t.Errorf("Read(%q) = %+v, want an error", in, tr)
		}
	}
	for _, in := range []string{
		`{"kind":"concurrent","txns":[{"parents":[0],"agent":0,"patches":[[0,0,"a"]]}]}`,
		`{"kind":"concurrent","txns":[{"parents":[-1],"agent":0,"patches":[[0,0,"a"]]}]}`,
		`{"kind":"concurrent","txns":[{"parents":[],"agent":-1,"patches":[[0,0,"a"]]}]}`,
		`{"kind":"concurrent","txns":[{"parents":[],"agent":99999,"patches":[[0,0,"a"]]}]}`,
		`{"kind":"concurrent","txns":[{"parents":[],"agent":0,"patches":[[1,0,"a"]]}]}`,
		`{"txns":[{"patches":[[0,1,""]]}]}`,
	} {
		tr, err := trace.Read(strings.NewReader(in))
		if err != nil {
			t.Errorf("Read(%s): %v", in, err)
			continue
		}
		if d, err := tr.Replay(); err == nil {
			t.Errorf("replay of %s = %q, want an error", in, d.String())
		}
	}
}
