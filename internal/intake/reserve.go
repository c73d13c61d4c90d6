package intake

// Level is how short something is.
type Level uint8

// The levels.
const (
	Ample   Level = iota
	Low           // imports and backlog are turned away
	Reserve       // every write is
)

// Refuses reports whether a request of the class is turned away at the level.
func (l Level) Refuses(c Class) bool { return l == Reserve || l == Low && c > Live }

// Reserves turns what is left into a level, with a margin on the way back, so
// that it does not flutter.
type Reserves struct{ level Level }

// marginParts is the part of a threshold that must be there beyond it before the
// level falls: an eighth.
const marginParts = 8

// See takes what is left; low and reserve are the thresholds below which it is
// Low or Reserve. A reserve of zero is no limit.
func (r *Reserves) See(left, low, reserve uint64) Level {
	low = max(low, reserve)
	switch {
	case reserve == 0:
		r.level = Ample
	case left < reserve:
		r.level = Reserve
	case left < low:
		if r.level != Reserve || left >= reserve+reserve/marginParts {
			r.level = Low
		}
	case r.level == Ample || left >= low+low/marginParts:
		r.level = Ample
	default:
		r.level = Low
	}
	return r.level
}

// Level is what See said last.
func (r *Reserves) Level() Level { return r.level }
