package trace

import (
	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

// Repeat makes one history of n copies, each after the one before, at the front
// of the text: a longer recording of the same kind.
func Repeat(runs []text.Run, n int) []text.Run {
	last := map[vclock.Origin]vclock.Seq{}
	for _, r := range runs {
		last[r.ID.Origin] += vclock.Seq(r.Len())
	}
	end := text.Version{}
	d := text.New()
	if _, err := d.Apply(runs); err == nil {
		end = d.Version()
	}
	var out []text.Run
	for k := range n {
		shift := func(d vclock.Dot) vclock.Dot {
			return vclock.Dot{Origin: d.Origin, Seq: d.Seq + vclock.Seq(k)*last[d.Origin]}
		}
		for _, r := range runs {
			given := r.Parents
			r.ID = shift(r.ID)
			r.Parents = nil
			for _, p := range given {
				r.Parents = append(r.Parents, shift(p))
			}
			if len(given) == 0 && k > 0 {
				for _, p := range end {
					r.Parents = append(r.Parents, vclock.Dot{
						Origin: p.Origin, Seq: p.Seq + vclock.Seq(k-1)*last[p.Origin],
					})
				}
			}
			out = append(out, r)
		}
	}
	return out
}
