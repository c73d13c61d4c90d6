package session

import (
	"encoding/json"
	"fmt"
	"math/big"
	"slices"
	"strconv"
	"time"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/conflict"
)

func (do *OpenSession) check() error {
	switch {
	case do.Order > Chat:
		return fmt.Errorf("order %d: %w", do.Order, ErrInvalid)
	case do.TTL < 0 || do.TTL > maxTTL:
		return fmt.Errorf("idle time %v is not between 0 and %v: %w", do.TTL, maxTTL, ErrInvalid)
	case len(do.Labels) > MaxLabels:
		return &LimitError{Err: ErrTooBig, What: "labels", Got: len(do.Labels), Max: MaxLabels}
	case len(do.Context) > MaxOpBytes:
		return &LimitError{Err: ErrTooBig, What: "context", Got: len(do.Context), Max: MaxOpBytes}
	}
	for k, v := range do.Labels {
		switch {
		case len(k)+len(v) > MaxLabelBytes:
			return &LimitError{Err: ErrTooBig, What: "label", Got: len(k) + len(v), Max: MaxLabelBytes}
		case k == "" || !utf8.ValidString(k) || !utf8.ValidString(v):
			return fmt.Errorf("label without a name or not UTF-8: %w", ErrInvalid)
		}
	}
	return nil
}

// maxTTL is the longest idle time, some hundred years.
const maxTTL = 100 * 366 * 24 * time.Hour

func (do *Append) check() error {
	switch n := len(do.Messages); {
	case n == 0:
		return fmt.Errorf("no messages: %w", ErrInvalid)
	case n > MaxBatchMessages:
		return &LimitError{Err: ErrTooBig, What: "messages", Got: n, Max: MaxBatchMessages}
	}
	total := 0
	for i := range do.Messages {
		d := &do.Messages[i]
		if err := d.check(fmt.Sprintf("messages[%d]", i)); err != nil {
			return err
		}
		put := d.put("")
		total += put.bytes()
	}
	if total > MaxBatchBytes {
		return &LimitError{Err: ErrTooBig, What: "messages together", Got: total, Max: MaxBatchBytes}
	}
	return nil
}

func (d *Draft) put(parent string) Put {
	return Put{
		ID: d.ID, Parent: parent, Role: d.Role, Name: d.Name, ToolCallID: d.ToolCallID,
		Content: d.Content, ToolCalls: d.ToolCalls, Metadata: d.Metadata,
	}
}

func (d *Draft) check(what string) error {
	put := d.put("")
	switch n := put.bytes(); {
	case n > MaxMessageBytes-MaxNameBytes: // the parent is not known yet
		return &LimitError{Err: ErrTooBig, What: what, Got: n, Max: MaxMessageBytes - MaxNameBytes}
	case len(d.Role) > MaxRoleBytes:
		return &LimitError{Err: ErrTooBig, What: what + ".role", Got: len(d.Role), Max: MaxRoleBytes}
	case d.Role == "" || !utf8.ValidString(d.Role):
		return fmt.Errorf("%s.role is empty or not UTF-8: %w", what, ErrInvalid)
	case d.ID != "" && (!ValidName(d.ID) || ReservedID(d.ID)):
		return fmt.Errorf("%s.id %.140q: %w", what, d.ID, ErrInvalid)
	case !utf8.ValidString(d.Name) || !utf8.ValidString(d.ToolCallID):
		return fmt.Errorf("%s.name or tool_call_id is not UTF-8: %w", what, ErrInvalid)
	}
	return checkParts(what, part{"content", d.Content}, part{"tool_calls", d.ToolCalls}, part{"metadata", d.Metadata})
}

type part struct {
	name  string
	value []byte
}

// checkParts checks the JSON members of a message, as far as they are there.
func checkParts(what string, parts ...part) error {
	for _, p := range parts {
		if len(p.value) == 0 {
			continue
		}
		if err := checkJSON(p.value); err != nil {
			return fmt.Errorf("%s.%s: %w", what, p.name, err)
		}
	}
	return nil
}

func (do *EditMessage) check() error {
	switch n := len(do.Content) + len(do.Metadata); {
	case len(do.Content) == 0:
		return fmt.Errorf("no content: %w", ErrInvalid)
	case n > MaxMessageBytes:
		return &LimitError{Err: ErrTooBig, What: "content", Got: n, Max: MaxMessageBytes}
	}
	return checkParts("message", part{"content", do.Content}, part{"metadata", do.Metadata})
}

func (do *AdjustContext) check() error {
	switch n := len(do.Changes); {
	case n == 0:
		return fmt.Errorf("no changes: %w", ErrInvalid)
	case n > MaxLeaves:
		return &LimitError{Err: ErrTooBig, What: "changes", Got: n, Max: MaxLeaves}
	}
	for i := range do.Changes {
		c := &do.Changes[i]
		switch {
		case len(c.Path) > MaxPathBytes:
			return &LimitError{Err: ErrTooBig, What: fmt.Sprintf("ops[%d].path", i), Got: len(c.Path), Max: MaxPathBytes}
		case !validPath(c.Path):
			return fmt.Errorf("ops[%d].path %.80q is no JSON pointer of a member: %w", i, c.Path, ErrInvalid)
		case c.Kind > SetRemove:
			return fmt.Errorf("ops[%d] of kind %d: %w", i, c.Kind, ErrInvalid)
		case c.Kind == CounterAdd && len(c.Value) == 0:
			continue
		case c.Kind == CounterAdd || c.By != 0:
			return fmt.Errorf("ops[%d] has both an amount and a value: %w", i, ErrInvalid)
		case len(c.Value) > MaxOpBytes:
			return &LimitError{Err: ErrTooBig, What: fmt.Sprintf("ops[%d].value", i), Got: len(c.Value), Max: MaxOpBytes}
		}
		if err := checkJSON(c.Value); err != nil {
			return fmt.Errorf("ops[%d].value: %w", i, err)
		}
	}
	return nil
}

// appendMessages gives each message its parent and checks ids.
func (w *author) appendMessages(drafts []Draft) ([]Body, error) {
	parent, err := lastMessage(w.tx, w.cmd.Space, w.cmd.Session, w.m)
	if err != nil {
		return nil, err
	}
	fresh := map[string]bool{}
	bodies := make([]Body, len(drafts))
	closing := closer{again: w.again, rd: reading{r: w.tx, space: w.cmd.Space, session: w.cmd.Session, m: w.m}}
	for i := range drafts {
		d := &drafts[i]
		if d.Parent != nil {
			if parent = *d.Parent; parent != "" {
				if err := w.known(parent, fresh); err != nil {
					return nil, err
				}
			}
		}
		put := d.put(parent)
		switch {
		case d.ID != "":
			if parent, err = d.ID, w.free(d.ID, fresh); err != nil {
				return nil, err
			}
		case w.cmd.Key != "":
			parent = keyedID(w.cmd.Session, w.cmd.Key, uint32(i))
		default:
			parent = ownDot(i)
		}
		if err := closing.take(&put, parent, d.Parent != nil); err != nil {
			return nil, fmt.Errorf("messages[%d]: %w", i, err)
		}
		bodies[i], fresh[parent] = put, true
	}
	return bodies, nil
}

// ownDot stands for the id of a message of the same batch that is named by its
// dot: that is known as soon as there is an op.
func ownDot(i int) string { return "\x00" + strconv.Itoa(i) }

// dotted puts the name in where ownDot stood for it.
func dotted(id string, ops []Op) string {
	if id == "" || id[0] != 0 {
		return id
	}
	i, err := strconv.Atoi(id[1:])
	if err != nil {
		panic("session: want the number of a message, have " + id)
	}
	return ops[i].Dot.String()
}

func (w *author) known(parent string, fresh map[string]bool) error {
	if ValidName(parent) {
		if fresh[parent] {
			return nil
		}
		if _, ok, err := locate(w.tx, w.cmd.Space, w.cmd.Session, w.m, parent); ok || err != nil {
			return err
		}
	}
	return fmt.Errorf("parent %.140q: %w", parent, ErrUnknownParent)
}

func (w *author) free(id string, fresh map[string]bool) error {
	_, taken, err := locate(w.tx, w.cmd.Space, w.cmd.Session, w.m, id)
	if err == nil && (taken && !w.again || fresh[id]) {
		err = fmt.Errorf("message %s: %w", id, ErrMessageExists)
	}
	return err
}

// adjust checks counters and sets against what is shown at their paths.
func (w *author) adjust(changes []Adjustment) ([]Body, error) {
	l, err := leavesAt(w.tx, w.cmd.Space, w.cmd.Session, w.m)
	if err != nil {
		return nil, err
	}
	shown, _ := l.render()
	kept, err := settle(changes)
	if err != nil {
		return nil, err
	}
	sums := map[string]int64{}
	inserts := map[string]int{}
	for i := range kept {
		c := &kept[i]
		held, err := descend(shown, c.Path)
		if err != nil {
			return nil, err
		}
		switch c.Kind {
		case CounterAdd:
			sum, ok := addChecked(sums[c.Path], c.By)
			if sums[c.Path] = sum; !ok {
				return nil, ErrOverflow
			}
			err = addable(held, l.counters[c.Path], sum, c.Path)
		case SetInsert:
			inserts[c.Path]++
			err = insertable(held, &l, inserts[c.Path], c.Path)
		case SetRemove:
			err = insertable(held, &l, 0, c.Path)
		}
		if err != nil {
			return nil, err
		}
	}
	return one(Adjust{Changes: kept}), nil
}

// settle writes values canonically, keeps the last of several changes of one
// element, and refuses changes of one path as two kinds.
func settle(changes []Adjustment) ([]Adjustment, error) {
	type element struct{ path, value string }
	var before []Adjustment // one of each path
	at := map[element]int{}
	var kept []Adjustment
	for _, c := range changes {
		known := false
		for _, b := range before {
			same := b.Path == c.Path
			if related(b.Path, c.Path) && (!same || (b.Kind == CounterAdd) != (c.Kind == CounterAdd)) {
				return nil, fmt.Errorf("%s and %s: %w", b.Path, c.Path, ErrWrongKind)
			}
			known = known || same
		}
		if !known {
			before = append(before, c)
		}
		if c.Kind == CounterAdd {
			kept = append(kept, c)
			continue
		}
		value, err := canonical(c.Value)
		if err != nil {
			return nil, err
		}
		c.Value = value
		e := element{c.Path, string(value)}
		if i, twice := at[e]; twice {
			kept[i] = c
			continue
		}
		at[e] = len(kept)
		kept = append(kept, c)
	}
	return slices.Clip(kept), nil
}

// descend finds what is shown at path; nil means nothing. Something other than
// an object on the way is ErrWrongKind.
func descend(shown map[string]any, path string) (any, error) {
	var at any = shown
	for _, name := range members(path) {
		object, ok := at.(map[string]any)
		if !ok {
			return nil, fmt.Errorf("%s lies below a value: %w", path, ErrWrongKind)
		}
		inner, ok := object[name]
		if !ok {
			return nil, nil
		}
		at = inner
	}
	return at, nil
}

func addable(held any, c conflict.Counter, by int64, path string) error {
	if held == nil {
		held = json.Number("0")
	}
	n, whole := wholeNumber(held)
	if !whole {
		return fmt.Errorf("%s is no whole number: %w", path, ErrWrongKind)
	}
	if !n.Add(n, big.NewInt(by)).IsInt64() {
		return fmt.Errorf("%s: %w", path, ErrOverflow)
	}
	if live := len(c.Additions); live >= MaxAdditions {
		return &LimitError{Err: ErrTooBig, What: "additions to " + path, Got: live + 1, Max: MaxAdditions}
	}
	total, err := c.Total()
	if _, ok := addChecked(total, by); err != nil || !ok {
		return fmt.Errorf("%s: %w", path, ErrOverflow)
	}
	return nil
}

func insertable(held any, l *leaves, inserts int, path string) error {
	live := len(l.sets[path].Elements)
	v, written := l.registers[path].Shown()
	_, list := held.([]any)
	switch {
	case held != nil && (!list || live == 0 || written && !v.Deleted):
		return fmt.Errorf("%s is no set: %w", path, ErrWrongKind)
	case inserts > 0 && live+inserts > MaxSetElements:
		return &LimitError{Err: ErrTooBig, What: "elements of " + path, Got: live + inserts, Max: MaxSetElements}
	}
	return nil
}

func addChecked(a, b int64) (int64, bool) {
	sum := a + b
	return sum, (sum > a) == (b > 0) || b == 0
}
