// Package ntptest is a small NTP server on loopback, for tests: honest, or wrong
// in a way that the test chooses.
package ntptest

import (
	"encoding/binary"
	"net"
	"sync/atomic"
	"testing"
	"time"
)

// Server answers questions as an NTP server does. Its zero value is honest; fields
// other than Asked are set before [Server.Start].
type Server struct {
	Lie     time.Duration // how wrong its time is
	Silent  bool
	Stratum byte // zero: 2
	Leap    byte
	Kiss    string       // a kiss code in place of the time
	Forge   bool         // answers belong to no question
	Asked   atomic.Int64 // questions so far

	conn *net.UDPConn
}

// Start serves until the test ends and gives the address.
func (s *Server) Start(t testing.TB) string {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	s.conn = conn
	done := make(chan struct{})
	go func() {
		defer close(done)
		s.serve()
	}()
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return conn.LocalAddr().String()
}

func (s *Server) serve() {
	buf := make([]byte, 512)
	for {
		n, from, err := s.conn.ReadFromUDP(buf)
		if err != nil {
			return // closed
		}
		s.Asked.Add(1)
		if s.Silent || n < 48 {
			continue
		}
		if _, err := s.conn.WriteToUDP(s.answer(buf[:48], time.Now().Add(s.Lie)), from); err != nil {
			return
		}
	}
}

func (s *Server) answer(ask []byte, now time.Time) []byte {
	out := make([]byte, 48)
	out[0] = s.Leap<<6 | 4<<3 | 4 // version 4, server
	out[1], out[2], out[3] = 2, 6, 0xec
	if s.Stratum != 0 {
		out[1] = s.Stratum
	}
	binary.BigEndian.PutUint32(out[4:], 66) // root delay: 1 ms
	binary.BigEndian.PutUint32(out[8:], 33) // root dispersion: 0.5 ms
	copy(out[24:], ask[40:48])              // origin: what the question carried
	if s.Kiss != "" {
		out[1] = 0
		copy(out[12:], s.Kiss)
	}
	if s.Forge {
		out[24] ^= 0xff
	}
	put := func(at int, t time.Time) {
		binary.BigEndian.PutUint32(out[at:], uint32(t.Unix()+2_208_988_800))
		binary.BigEndian.PutUint32(out[at+4:], uint32(int64(t.Nanosecond())<<32/1e9))
	}
	put(16, now.Add(-10*time.Second)) // reference
	put(32, now)                      // received
	put(40, now)                      // sent
	return out
}
