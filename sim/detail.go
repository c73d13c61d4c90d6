package sim

import (
	"fmt"
	"strings"

	"github.com/causeway-sync/causeway/protocol"
)

// detailOf says for people which space a message is about, if it is one, and
// what it carries; empty for what its kind says already.
func detailOf(m protocol.Message) (space, detail string) {
	const most = 4
	var parts []string
	add := func(format string, args ...any) {
		if len(parts) <= most {
			parts = append(parts, fmt.Sprintf(format, args...))
		}
	}
	switch m := m.(type) {
	case protocol.Deliver:
		space = m.Frames[0].Space // there is one, and all are of one space
		for i := range m.Frames {
			add("%s", frameWords(&m.Frames[i]))
		}
	case protocol.Receipts:
		for i, r := range m.Receipts {
			if i == 0 {
				space = r.Space
			}
			add("%s %s up to %d", r.Space, r.Origin, r.Seq)
		}
	case protocol.Attach:
		for _, s := range m.Spaces {
			add("%s", s.Space)
		}
	case protocol.Refused:
		add("%s %s", m.Code, m.Detail)
	case protocol.Credit:
		add("through %d", m.N)
	case protocol.Heartbeat:
		add("%d", m.N)
	}
	if len(parts) > most {
		parts[most] = "…"
	}
	return space, strings.Join(parts, ", ")
}

// frameWords names the ops of a frame.
func frameWords(f *protocol.Frame) string {
	return fmt.Sprintf("%s %s %d-%d", f.Space, f.Origin, f.From, f.To())
}
