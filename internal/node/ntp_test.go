package node_test

import (
	"encoding/binary"
	"net"
	"testing"
	"time"
)

// ntpServer serves the true time on loopback and gives its address.
func ntpServer(t *testing.T) string {
	t.Helper()
	conn, err := net.ListenUDP("udp", &net.UDPAddr{IP: net.IPv4(127, 0, 0, 1)})
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		ask := make([]byte, 512)
		for {
			n, from, err := conn.ReadFromUDP(ask)
			if err != nil {
				return // closed
			}
			if n < 48 {
				continue
			}
			out := make([]byte, 48)
			out[0], out[1], out[2], out[3] = 4<<3|4, 2, 6, 0xec
			copy(out[24:], ask[40:48])
			now := time.Now()
			for _, at := range []int{16, 32, 40} { // reference, received, sent
				binary.BigEndian.PutUint32(out[at:], uint32(now.Unix()+2_208_988_800))
				binary.BigEndian.PutUint32(out[at+4:], uint32(int64(now.Nanosecond())<<32/1e9))
			}
			if _, err := conn.WriteToUDP(out, from); err != nil {
				return
			}
		}
	}()
	t.Cleanup(func() {
		if err := conn.Close(); err != nil {
			t.Error(err)
		}
		<-done
	})
	return conn.LocalAddr().String()
}
