package live

import (
	"time"

	"github.com/causeway-sync/causeway/protocol"
)

// bucket bounds a rate: it is full at first, with SayBurst, and fills with
// SayRate a second. The zero value is full.
type bucket struct {
	used int // of SayBurst
	at   protocol.Instant
}

func (b *bucket) take(at protocol.Instant, n int) bool {
	if fresh := int(min(time.Duration(at-b.at).Seconds()*SayRate, SayBurst)); fresh > 0 {
		b.at, b.used = at, max(b.used-fresh, 0)
	}
	if b.used+n > SayBurst {
		return false
	}
	b.used += n
	return true
}
