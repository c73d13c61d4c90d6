package session

import (
	"cmp"
	"maps"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/conflict"
	"github.com/causeway-sync/causeway/vclock"
)

// View gives the session as clients see it, or ErrNoSession,
// ErrSessionErased, ErrSessionExpired.
func View(r Reader, space, session string) (Document, error) {
	m, err := shownMeta(r, space, session)
	if err != nil {
		return Document{}, err
	}
	return viewOf(r, space, session, m)
}

func viewOf(r Reader, space, session string, m *meta) (Document, error) {
	l, err := leavesAt(r, space, session, m)
	if err != nil {
		return Document{}, err
	}
	shown, conflicts := l.render()
	about, err := messageConflicts(r, space, session, m)
	if err != nil {
		return Document{}, err
	}
	claims, err := toolConflicts(r, space, session, m)
	if err != nil {
		return Document{}, err
	}
	all := append(m.conflicts(), conflicts...)
	state, _ := m.life.Shown()
	doc := Document{
		ID: session, Space: space, State: state.String(), Order: m.order().String(), Version: m.vector.String(),
		Context: mustEncode(shown), Conflicts: slices.Concat(all, about, claims), MessageCount: int(m.messages),
		CreatedAt: m.opens[0].rank.Stamp.Time(), UpdatedAt: m.updated.Time(), Labels: maps.Clone(m.opens[0].labels),
	}
	if m.texts {
		if doc.Texts, err = textNames(r, space, session); err != nil {
			return Document{}, err
		}
	}
	if doc.Conflicts == nil {
		doc.Conflicts = []Conflict{}
	}
	if doc.Labels == nil {
		doc.Labels = map[string]string{}
	}
	if at := m.expiresAt(); at != 0 {
		doc.ExpiresAt = new(time.UnixMilli(int64(at)).UTC())
	}
	return doc, nil
}

// conflicts lists what concurrent openings and transitions left.
func (m *meta) conflicts() []Conflict {
	var all []Conflict
	opened := Conflict{Kind: "open", Shown: m.opens[0].variant()}
	for _, o := range m.opens[1:] {
		v := o.variant()
		if !slices.ContainsFunc(append(opened.Others, opened.Shown), v.sameValue) {
			v.Reason = "opened again; an opening of earlier stamp stands"
			opened.Others = append(opened.Others, v)
		}
	}
	if len(opened.Others) > 0 {
		all = append(all, opened)
	}
	if others := m.life.Others(); len(others) > 0 {
		c := Conflict{Kind: "state", Shown: moveVariant(m.life.Moves[0])}
		for _, o := range others {
			v := moveVariant(o)
			v.Reason = "concurrent; the other state outranks it"
			c.Others = append(c.Others, v)
		}
		all = append(all, c)
	}
	return all
}

func (o *opening) variant() Variant {
	value := mustEncode(struct {
		Order  string            `json:"order"`
		TTL    string            `json:"ttl,omitempty"`
		Labels map[string]string `json:"labels,omitempty"`
	}{o.order.String(), ttlText(o.ttl), o.labels})
	return Variant{Value: value, At: o.rank.Stamp.Time(), Actor: o.actor, Origin: string(o.rank.Dot.Origin)}
}

func ttlText(d time.Duration) string {
	if d == 0 {
		return ""
	}
	return d.String()
}

func moveVariant(m conflict.Move) Variant {
	return Variant{
		Value: mustEncode(m.To.String()), At: m.Stamp.Time(), Actor: m.Actor, Origin: string(m.Dot.Origin),
	}
}

// registerConflict describes a register that has more than one value.
func registerConflict(kind, path string, reg conflict.Register) (Conflict, bool) {
	shown, ok := reg.Shown()
	others := reg.Others()
	if !ok || len(others) == 0 {
		return Conflict{}, false
	}
	c := Conflict{Kind: kind, Path: path, Shown: variantOf(shown)}
	for _, v := range others {
		o := variantOf(v)
		o.Reason = conflict.Reason(shown, v)
		c.Others = append(c.Others, o)
	}
	return c, true
}

func byPath(a, b Conflict) int { return cmp.Compare(a.Path, b.Path) }

func sortedKeys[T any](m map[string]T) []string { return slices.Sorted(maps.Keys(m)) }

// wholeEdits and wholeDots read records that end with their value.
func wholeEdits(b []byte) (edits, []byte, error) {
	e, err := decodeEdits(nil, b)
	return e, nil, err
}

func wholeDots(b []byte) ([]vclock.Dot, []byte, error) {
	d, err := decodeDots(nil, b)
	return d, nil, err
}

// ListQuery filters a list of sessions.
type ListQuery struct {
	State string // e.g. "active"; empty for all
	Label string // "key=value"; empty for all
	Limit int    // 0 or less: all
	After string // next of the page before
}

// List gives the sessions of a space that are neither erased nor expired,
// those of the newest activity first, and the token for the next page, empty
// at the end. A session that is written to while somebody turns the pages
// moves to the front: it may then be listed twice, but is never missed.
func List(r Reader, space string, q ListQuery) (docs []Document, next string, err error) {
	after, err := parsePlace(q.After)
	if err != nil {
		return nil, "", err
	}
	docs = []Document{}
	for bucket, err := range buckets(r, space, after) {
		if err != nil {
			return nil, "", err
		}
		for _, p := range bucket {
			if q.After != "" && p.compare(after) <= 0 {
				continue
			}
			if ok := p.matches(q); !ok {
				continue
			}
			if q.Limit > 0 && len(docs) == q.Limit {
				return docs, next, nil
			}
			doc, err := viewOf(r, space, p.session, p.m)
			if err != nil {
				return nil, "", err
			}
			docs = append(docs, doc)
			next = p.token()
		}
	}
	return docs, "", nil
}

func (p *place) matches(q ListQuery) bool {
	if state, _ := p.m.life.Shown(); q.State != "" && q.State != state.String() {
		return false
	}
	if q.Label == "" {
		return true
	}
	k, v := cutLabel(q.Label)
	have, ok := p.m.opens[0].labels[k]
	return ok && have == v
}
