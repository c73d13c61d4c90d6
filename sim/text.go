package sim

import (
	"cmp"
	"fmt"
	"slices"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/sim/check"
	"github.com/causeway-sync/causeway/vclock"
)

// textCount is how many texts of a session clients edit.
const textCount = 2

// TextName gives the name of a text.
func TextName(target int) string { return fmt.Sprintf("t%d", target%textCount) }

// wordEnd ends every word of a text, so that clients see where one may stand. It
// is one code point and two bytes.
const wordEnd = "·"

// Typed gives what a client types for the n-th time in a text that it sees: a
// word between two others, and now and then the deletion of one, which is named.
func Typed(seen, value string, n int) (edits []text.Edit, word string, drops []string) {
	words := strings.SplitAfter(seen, wordEnd)
	words = words[:len(words)-1] // what is behind the last end
	word = value + wordEnd
	begins := func(i int) int { return utf8.RuneCountInString(strings.Join(words[:i], "")) }
	edits = append(edits, text.Edit{Pos: begins(n * 31 % (len(words) + 1)), Ins: word})
	if n%4 == 3 && len(words) > 0 {
		i := n * 17 % len(words)
		drops = append(drops, words[i])
		gone := text.Edit{Pos: begins(i), Del: utf8.RuneCountInString(words[i])}
		edits = append([]text.Edit{gone}, text.Transform(edits[0], gone, text.BFirst)...)
	}
	return edits, word, drops
}

// editor is what a client knows of a text: how it was at a version.
type editor struct {
	text string
	base vclock.Vector
	seal session.Seal
}

// prepareText edits the text as the client last saw it, which may be long ago;
// it looks only if it has never seen it, or if its last edit was refused.
func (w *world) prepareText(in *intent, n *node) bool {
	in.target = TextName(in.call.Target)
	at := in.textPlace()
	e, known := in.client.texts[at]
	if !known {
		look := &intent{call: in.call, client: in.client}
		look.call.Kind = CallRead
		id := w.begin(look, n)
		if n.paused {
			return false
		}
		w.serveRead(look, n, id)
		seen := w.history.Calls[id].Seen
		if seen == nil || seen.Gone != "" {
			return false
		}
		base, err := vclock.Parse(seen.Version)
		if err != nil {
			panic(fmt.Sprintf("sim: want a version in what was read, have %q", seen.Version))
		}
		e = editor{text: seen.Texts[in.target], base: base}
		err = n.view(func(r session.Reader) (err error) {
			e.seal, err = session.SealOf(r, in.call.Space, base)
			return err
		})
		if err != nil {
			w.facts["excuse_unreadable"]++
			return false
		}
		in.client.texts[at] = e
	}
	in.client.typed++
	edits, word, drops := Typed(e.text, w.value(), in.client.typed)
	in.values, in.drops, in.before = []check.Value{{ID: in.target, Value: word}}, drops, e
	in.do = session.EditText{Name: in.target, Base: &e.base, Seal: e.seal, Edits: edits}
	return true
}

func (in *intent) textPlace() string {
	return in.call.Space + "/" + in.call.Session + "/" + in.target
}

// typed brings the client's text to where the answer says, and is an oracle: that
// is the text of the node.
func (w *world) typed(in *intent, n *node, a drive.Answer) {
	do, ok := in.do.(session.EditText)
	if !ok {
		return
	}
	now, err := text.Patch(in.before.text, do.Edits...)
	if err == nil {
		now, err = text.Patch(now, a.Others...)
	}
	if err != nil {
		w.problem(answersBring, n.lane, "the answer to an edit of %s does not fit the client's text: %v", in.textPlace(), err)
		return
	}
	in.client.texts[in.textPlace()] = editor{text: now, base: a.Version, seal: a.Seal}
	var shown session.Text
	err = n.view(func(r session.Reader) (err error) {
		shown, err = session.ReadText(r, &n.texts, in.call.Space, in.call.Session, do.Name)
		return err
	})
	if err == nil && shown.Version == session.SealedVersion(a.Version, a.Seal) && shown.Text != now {
		w.problem(answersBring, n.lane, "the answer to an edit of %s brings the client to %q, the node shows %q",
			in.textPlace(), now, shown.Text)
	}
}

const answersBring = "answers bring a client's text to the node's (I8)"

// forgets drops what the client knows of a text whose edit was refused: it looks
// again before the next one.
func (in *intent) forgets() {
	if in.call.Kind == CallText {
		delete(in.client.texts, in.textPlace())
	}
}

// showTexts adds the texts of a session to what is seen of it.
func (n *node) showTexts(r session.Reader, doc *session.Document, seen *check.Seen) error {
	for _, name := range doc.Texts {
		shown, err := session.ReadText(r, &n.texts, doc.Space, doc.ID, name)
		if err != nil {
			return err
		}
		if seen.Texts == nil {
			seen.Texts = map[string]string{}
		}
		seen.Texts[name] = shown.Text
	}
	return nil
}

// displaces reports whether a fault can give one op two contents, or take away
// one that others were made on. Clients are safe from that by their seals, but an
// op that was made on an op which is another one elsewhere is not: then a word
// may be missing (seed 4180 with typists). Of such faults only those meet
// typists that a focus adds.
func displaces(f *Fault) bool {
	return f.Kind == Clone || f.Kind == BitFlip || f.Kind == Restore && f.Silent
}

// texts draws people who edit texts beside everything else, in one seed of four.
func (d *drawing) texts() {
	l := d.plan.Workload
	if l == nil || !d.one(4) || slices.ContainsFunc(d.plan.Faults, func(f Fault) bool { return displaces(&f) }) {
		return
	}
	space := "default"
	if len(l.Spaces) > 0 {
		space = l.Spaces[0]
	}
	sites := d.plan.sites(l, space)
	if len(sites) == 0 {
		return
	}
	typists, every := 2+d.rng.IntN(3), d.about(200*time.Millisecond, 5*time.Second)
	for i := range typists {
		site := sites[i%len(sites)]
		for at := pause(every, d.rng); at < d.plan.Length; at += pause(every, d.rng) {
			if d.one(20) {
				site = sites[d.rng.IntN(len(sites))]
			}
			c := Call{At: at, Client: fmt.Sprintf("typist%d", i), Node: site, Space: space, Session: "s0", Kind: CallText,
				Target: d.rng.IntN(textCount), Keyed: true}
			if d.one(3) {
				c.Retries = retries(sites, d.rng)
			}
			d.plan.Calls = append(d.plan.Calls, c)
		}
	}
	slices.SortStableFunc(d.plan.Calls, func(a, b Call) int { return cmp.Compare(a.At, b.At) })
}

// thin has the typists type no faster than once in a while.
func (d *drawing) thin(least time.Duration) {
	next := time.Duration(0)
	d.plan.Calls = slices.DeleteFunc(d.plan.Calls, func(c Call) bool {
		if c.Kind != CallText {
			return false
		}
		early := c.At < next
		if !early {
			next = c.At + least
		}
		return early
	})
}
