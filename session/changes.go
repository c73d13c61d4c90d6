package session

import (
	"encoding/json"

	"github.com/causeway-sync/causeway/vclock"
)

// Bounds limit one page of changes. Zero or less: no limit. The first change is
// given even if it is bigger than Bytes.
type Bounds struct {
	Count int
	Bytes int // of the ops
}

// Changes lists up to limit ops of the session (0 or less: all) that since
// does not cover, in the order of arrival here, in which each comes after all
// that it depends on. next is since with what is listed; it never loses
// anything at another node either. Each change's Version is that cursor behind
// the change. since may be the vector of the session or of the whole space.
func Changes(r Reader, space, session string, since vclock.Vector, limit int) ([]Change, vclock.Vector, error) {
	list, next, _, err := ChangesWithin(r, space, session, since, Bounds{Count: limit})
	return list, next, err
}

// ChangesWithin is [Changes] with a bound on bytes too; more says that the
// bounds ended the list.
func ChangesWithin(r Reader, space, session string, since vclock.Vector, b Bounds) (
	list []Change, next vclock.Vector, more bool, err error,
) {
	m, err := shownMeta(r, space, session)
	if err != nil {
		return nil, since, false, err
	}
	next, list = since, []Change{}
	slot, err := firstMissing(r, space, session, m, since)
	if err != nil {
		return nil, since, false, err
	}
	bytes := 0
	for ; slot <= m.slots; slot++ {
		e, err := entryAt(r, space, session, slot)
		if err != nil {
			return nil, since, false, err
		}
		if since.Covers(e.dot) {
			continue
		}
		if b.Count > 0 && len(list) >= b.Count || b.Bytes > 0 && bytes >= b.Bytes {
			return list, next, true, nil
		}
		op, rec, err := opAt(r, space, e.dot)
		if err != nil {
			return nil, since, false, err
		}
		c, err := shownChange(r, m, &op)
		if err != nil {
			return nil, since, false, err
		}
		bytes += len(rec.Bytes)
		next = next.With(op.Dot)
		c.Version = next.String()
		list = append(list, c)
	}
	return list, next, false, nil
}

// firstMissing finds the slot from which on there can be ops that since does
// not cover, without walking through what it does. Where since ends with an op
// of this session, that op's record knows its slot; otherwise, since being of
// the whole space, the walk goes back until all origins are met.
func firstMissing(r Reader, space, session string, m *meta, since vclock.Vector) (uint64, error) {
	first := m.slots + 1
	var unmet []vclock.Dot
	for o, seq := range m.vector.All() {
		held := vclock.Dot{Origin: o, Seq: since.At(o)}
		if held.Seq >= seq {
			continue
		}
		if held.Seq == 0 {
			first = min(first, m.first(o))
			continue
		}
		slot, ok, err := slotOf(r, space, session, held)
		switch {
		case err != nil:
			return 0, err
		case ok:
			first = min(first, slot+1)
		default:
			unmet = append(unmet, held)
		}
	}
	for slot := first; len(unmet) > 0 && slot > 1; {
		slot--
		e, err := entryAt(r, space, session, slot)
		if err != nil {
			return 0, err
		}
		kept := unmet[:0]
		for _, held := range unmet {
			if held.Origin == e.dot.Origin && e.dot.Seq > held.Seq {
				first = min(first, slot)
			}
			met := held.Origin == e.dot.Origin && e.dot.Seq <= held.Seq
			if !met && slot > m.first(held.Origin) {
				kept = append(kept, held)
			}
		}
		unmet = kept
	}
	return first, nil
}

func slotOf(r Reader, space, session string, dot vclock.Dot) (uint64, bool, error) {
	rec, ok, err := RecordAt(r, space, dot)
	if err != nil || !ok {
		return 0, false, err
	}
	op, err := decodeOp(rec.Bytes)
	if err != nil {
		return 0, false, &CorruptError{Key: OpKey(space, dot.Origin, dot.Seq), Err: err, Hint: repairHint}
	}
	return rec.Slot, op.Session == session && rec.Slot != 0, nil
}

// ChangeOf describes an op as its author wrote it. Version is the session's
// version that the op made at its author.
func ChangeOf(op *Op) Change {
	c := Change{
		Session: op.Session, Dot: op.Dot.String(), Version: op.Deps.With(op.Dot).String(), At: op.Stamp.Time(),
		Actor: op.Actor, Origin: string(op.Dot.Origin), Key: op.Key,
	}
	switch x := op.Body.(type) {
	case Open:
		c.Type, c.Context = "open", patchOf(x.Context)
	case Transition:
		c.Type, c.State = "transition", x.To.String()
	case Put:
		c.Type, c.Message = "message", new(messageOf(op))
	case Edit:
		c.Type, c.Message = "edit", &Message{
			ID: x.Message, Content: json.RawMessage(x.Content), Metadata: json.RawMessage(x.Metadata),
			At: c.At, Actor: c.Actor, Origin: c.Origin, Version: c.Version,
		}
	case Redact:
		c.Type, c.Message = "redact", &Message{
			ID: x.Message, Redacted: true, At: c.At, Actor: c.Actor, Origin: c.Origin, Version: c.Version,
		}
	case Set:
		c.Type, c.Context = "context", patchOf(x.Leaves)
	case Adjust:
		c.Type, c.Context = "adjust", adjustmentsOf(x.Changes)
	case TextEdit:
		c.Type, c.Text = "text", &TextChange{Name: x.Name, Edits: x.Edits}
	case Claim:
		c.Type, c.Tool = "claim", &ToolChange{Key: x.Key, By: x.By, Call: x.Call, Tool: x.Tool, Decided: DecidedLocal}
		if x.Arbitrated {
			c.Tool.Decided = DecidedCore
		}
		if x.Over.Seq != 0 {
			c.Tool.Over = x.Over.String()
		}
	case Complete:
		c.Type, c.Tool = "complete", &ToolChange{Claim: x.Claim.String(), Result: json.RawMessage(x.Result), Failed: x.Failed}
	case Expire:
		c.Type = "expire"
	case Erase:
		c.Type = "erase"
	case Erased:
		c.Type = "erased"
	case Unknown:
		c.Type = "unknown"
	}
	return c
}

// ChangeIn is [ChangeOf] without what was redacted since, or erased with the
// session: what may be shown of an op now.
func ChangeIn(r Reader, op *Op) (Change, error) {
	m, err := metaAt(r, op.Space, op.Session)
	if err != nil {
		return Change{}, err
	}
	if m == nil {
		return ChangeOf(op), nil
	}
	return shownChange(r, m, op)
}

func shownChange(r Reader, m *meta, op *Op) (Change, error) {
	if _, erase := op.Body.(Erase); m.erased && !erase {
		bare := *op
		bare.Actor, bare.Key, bare.Body = "", "", Erased{}
		return ChangeOf(&bare), nil
	}
	c := ChangeOf(op)
	if c.Message == nil || c.Message.Redacted {
		return c, nil
	}
	done, err := editsAt(r, op.Space, op.Session, c.Message.ID)
	if err != nil {
		return Change{}, err
	}
	if done.redacted {
		done.onto(c.Message)
	}
	return c, nil
}

// patchOf nests leaves into a merge patch.
func patchOf(list []Leaf) json.RawMessage {
	if len(list) == 0 {
		return nil
	}
	patch := map[string]any{}
	for _, deleted := range []bool{true, false} { // values win over deletions
		for i := range list {
			if l := &list[i]; l.Deleted == deleted {
				nest(patch, l)
			}
		}
	}
	return mustEncode(patch)
}

func nest(patch map[string]any, l *Leaf) {
	names := members(l.Path)
	last := len(names) - 1
	for _, name := range names[:last] {
		inner, ok := patch[name].(map[string]any)
		if !ok {
			inner = map[string]any{}
			patch[name] = inner
		}
		patch = inner
	}
	switch {
	case l.Deleted:
		patch[names[last]] = nil
	case string(l.Value) != "{}":
		patch[names[last]] = decodeValue(l.Value)
	default:
		if _, ok := patch[names[last]].(map[string]any); !ok {
			patch[names[last]] = map[string]any{}
		}
	}
}

func adjustmentsOf(changes []Adjustment) json.RawMessage {
	type adjustment struct {
		Op    string          `json:"op"`
		Path  string          `json:"path"`
		By    *int64          `json:"by,omitempty"`
		Value json.RawMessage `json:"value,omitempty"`
	}
	list := make([]adjustment, len(changes))
	for i, c := range changes {
		switch c.Kind {
		case CounterAdd:
			list[i] = adjustment{Op: "add", Path: c.Path, By: new(c.By)}
		case SetInsert:
			list[i] = adjustment{Op: "insert", Path: c.Path, Value: json.RawMessage(c.Value)}
		default:
			list[i] = adjustment{Op: "remove", Path: c.Path, Value: json.RawMessage(c.Value)}
		}
	}
	return mustEncode(list)
}
