package check

import "fmt"

// bounds: what must stay bounded stayed within its bound.
func bounds(ix *index) Verdict {
	j := newJudge("sizes stay within their bounds", "I12")
	for _, s := range ix.h.Samples {
		j.Examined++
		if s.Value > s.Max {
			j.violate(fmt.Sprint(s.Node, s.What), Violation{Node: s.Node, At: s.At}, "%s has %d %s, want at most %d",
				s.Node, s.Value, s.What, s.Max)
		}
	}
	return j.done()
}
