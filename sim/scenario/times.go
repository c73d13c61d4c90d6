package scenario

import (
	"strconv"
	"strings"
	"time"

	"github.com/causeway-sync/causeway/sim"
)

// conducts are the words for how a bad time server behaves.
var conducts = []string{"honest", "lying", "mute", "denying", "slowing"}

// defaultServers are the time servers of a scenario that names none.
const defaultServers = 3

// times reads who tells the time. In a file that people wrote and that does not
// say, three honest servers tell it to the core nodes.
func (b *builder) times(v *value) {
	if v == nil && b.drawn {
		return
	}
	o := b.object(v, "poll", "limit", "servers")
	t := &b.plan.Time
	b.duration(o.at("poll"), &t.Poll)
	b.duration(o.at("limit"), &t.Limit)
	if !b.drawn && (o.at("poll") != nil && t.Poll < time.Second || o.at("limit") != nil && t.Limit < time.Millisecond) {
		b.expect(v, "a poll of at least 1s, a limit of at least 1ms")
	}
	servers := o.at("servers")
	if servers == nil && !b.drawn {
		for i := range defaultServers {
			t.Servers = append(t.Servers, sim.TimeServer{Name: "ntp-" + strconv.Itoa(i+1),
				Delay: 10 * time.Millisecond, Jitter: 5 * time.Millisecond})
		}
		return
	}
	for _, item := range b.list(servers) {
		t.Servers = append(t.Servers, b.timeServer(item))
	}
}

func (b *builder) timeServer(v *value) sim.TimeServer {
	s := sim.TimeServer{}
	o := b.object(v, "name", "delay", "jitter", "loss", "conduct", "by", "from", "for")
	if !b.text(o.at("name"), &s.Name) && !b.drawn {
		b.fail(v, "no name", "a name")
	}
	b.duration(o.at("delay"), &s.Delay)
	b.duration(o.at("jitter"), &s.Jitter)
	b.percent(o.at("loss"), &s.Loss)
	word := ""
	if b.choice(o.at("conduct"), conducts, &word) {
		for i, c := range conducts {
			if c == word {
				s.Conduct = sim.Conduct(i)
			}
		}
	}
	b.shift(o.at("by"), &s.Lie)
	b.duration(o.at("from"), &s.From)
	b.duration(o.at("for"), &s.For)
	return s
}

func timesText(t *sim.TimePlan) flow {
	f := flow{}.span("poll", t.Poll).span("limit", t.Limit)
	if len(t.Servers) == 0 {
		return f
	}
	var list strings.Builder
	for i := range t.Servers {
		s := &t.Servers[i]
		one := flow{}.text("name", s.Name).span("delay", s.Delay).span("jitter", s.Jitter).part("loss", s.Loss)
		if s.Conduct != sim.Honest {
			one = one.raw("conduct", word(conducts, int(s.Conduct)))
		}
		if i > 0 {
			list.WriteString(", ")
		}
		list.WriteString(one.span("by", s.Lie).span("from", s.From).span("for", s.For).String())
	}
	return f.raw("servers", "["+list.String()+"]")
}
