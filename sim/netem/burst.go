package netem

import "math/rand/v2"

// Burst is the loss of a link that has good and bad times (Gilbert and Elliott).
// tc's "gemodel p r 1-h 1-k" is Burst{Enter: p, Leave: r, Bad: 1-h, Good: 1-k}.
type Burst struct {
	Enter float64 // chance that a bad time begins with a message
	Leave float64 // chance that it ends with one; bad times last 1/Leave messages in the mean
	Bad   float64 // chance of loss in a bad time
	Good  float64 // chance of loss in a good time
}

// Spell remembers whether the link has a bad time. The zero value is a good one.
type Spell struct{ bad bool }

// Lost decides about the next message. It draws nothing if b never loses any.
// Source: loss_gilb_ell in sch_netem.c: the state moves, and the message is
// judged by the state before.
func (s *Spell) Lost(b Burst, rng *rand.Rand) bool {
	if b.Rate() == 0 {
		return false
	}
	move, loss, was := rng.Float64(), rng.Float64(), s.bad
	if was {
		s.bad = move >= b.Leave
		return loss < b.Bad
	}
	s.bad = move < b.Enter
	return loss < b.Good
}

// Rate gives the share of messages that is lost in the long run.
func (b Burst) Rate() float64 {
	switch {
	case b.Enter <= 0:
		return b.Good // a good time that never ends
	case b.Leave <= 0:
		return b.Bad
	}
	return (b.Enter*b.Bad + b.Leave*b.Good) / (b.Enter + b.Leave)
}
