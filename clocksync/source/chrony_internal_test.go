package source

import (
	"encoding/binary"
	"testing"
	"time"
)

// FuzzReadTracking: whatever comes from the port of chronyd, there is no panic,
// and what is accepted can be added to a clock.
func FuzzReadTracking(f *testing.F) {
	good := make([]byte, chronyBytes)
	good[0], good[1] = chronyVersion, chronyReply
	binary.BigEndian.PutUint16(good[6:], chronyTracked)
	binary.BigEndian.PutUint16(good[chronyHead+24:], 3)
	f.Add(good)
	f.Add(good[:50])
	f.Fuzz(func(t *testing.T, b []byte) {
		s, err := readTracking(b, 0)
		if err != nil {
			return
		}
		if most := time.Duration(1e18); time.Duration(s.Time).Abs() > most || s.RootDelay < 0 || s.RootDispersion < 0 {
			t.Errorf("accepted %+v", s)
		}
	})
}
