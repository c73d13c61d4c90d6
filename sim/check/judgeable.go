package check

import (
	"fmt"
	"math/bits"
)

// judgeable: the history keeps to its own contract, so that the others can
// decide.
func judgeable(ix *index) Verdict {
	j := newJudge("the history can be judged", "contract")
	h := ix.h
	for i := range h.Calls {
		j.Examined++
		if text := faultOf(h, i); text != "" {
			c := &h.Calls[i]
			j.violate("", Violation{Node: c.Node, Session: c.Space + "/" + c.Session, At: c.Begin, Calls: []int{i}},
				"call %d %s", i, text)
		}
	}
	for _, c := range ix.twice {
		j.violate("", Violation{Calls: []int{c.first, c.second}},
			"calls %d and %d write the same value %q", c.first, c.second, c.value)
	}
	for _, s := range ix.sessions {
		s.judgeAdditions(j)
	}
	nodes := map[string]bool{}
	for i := range h.Finals {
		j.Examined++
		node := h.Finals[i].Node
		if nodes[node] {
			j.violate("", Violation{Node: node}, "%s is there twice in the end", node)
		}
		nodes[node] = true
	}
	for i := range h.Resets {
		if i > 0 && h.Resets[i].At < h.Resets[i-1].At {
			j.violate("", Violation{Node: h.Resets[i].Node, At: h.Resets[i].At}, "resets are not in the order of time")
		}
	}
	return j.done()
}

// faultOf says what is wrong with a call, if anything is.
func faultOf(h *History, i int) string {
	c := &h.Calls[i]
	writes := c.Do == Append || c.Do == Edit || c.Do == Insert || c.Do == Remove
	switch {
	case c.ID != i:
		return fmt.Sprintf("has the id %d", c.ID)
	case i > 0 && c.Begin < h.Calls[i-1].Begin:
		return "begins before the one before it"
	case c.Outcome != NoAnswer && c.End < c.Begin:
		return "ends before it begins"
	case (c.Do == Read || c.Do == ReadAll) && c.Outcome == OK && c.Seen == nil:
		return "read something that is not told"
	case writes && len(c.Values) == 0:
		return "writes no value"
	}
	for _, v := range c.Values {
		if writes && v.Value == "" {
			return "writes an empty value"
		}
	}
	return ""
}

// judgeAdditions looks for additions that cannot be told apart in a total.
func (s *session) judgeAdditions(j *judge) {
	for _, counter := range sortedKeys(s.adds) {
		var taken uint64
		for _, w := range s.adds[counter] {
			r := s.writes[w].req
			by := uint64(r.by)
			out := Violation{Session: s.name, Calls: []int{int(r.calls[0])}}
			switch {
			case r.by <= 0 || bits.OnesCount64(by) != 1:
				j.violate("", out, "call %d adds %d to %s, which is no power of two", r.calls[0], r.by, counter)
			case taken&by != 0:
				j.violate("", out, "call %d adds %d to %s, as another one did", r.calls[0], r.by, counter)
			}
			taken |= by
		}
	}
}
