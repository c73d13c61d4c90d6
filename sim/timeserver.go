package sim

import (
	"math/rand/v2"
	"time"
)

// way draws how long a packet is on its way in one direction.
func (s *TimeServer) way(rng *rand.Rand) time.Duration {
	if s.Jitter == 0 {
		return s.Delay
	}
	return max(s.Delay-s.Jitter+time.Duration(rng.Int64N(int64(2*s.Jitter)+1)), 0)
}

// conduct is how the server behaves now. All are honest after the healing.
func (s *TimeServer) conduct(w *world) Conduct {
	if w.phase != safety || w.now < s.From || s.For > 0 && w.now >= s.From+s.For {
		return Honest
	}
	return s.Conduct
}

// cutOff reports whether somebody cannot talk to a place beside the cluster, in
// one direction or both.
func (t *network) cutOff(from, to string) bool {
	for _, f := range t.w.active {
		switch f.Kind {
		case Partition, Flap, Clog:
			if f.befalls(from, to) || f.befalls(to, from) {
				return true
			}
		}
	}
	return false
}
