package session

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/conflict"
	"github.com/causeway-sync/causeway/vclock"
)

// What may have become of a tool call.
const (
	ToolOpen    = "open"    // nobody has claimed it
	ToolClaimed = "claimed" // somebody is at it, or was interrupted
	ToolDone    = "done"    // there is a result
)

// Tool is what the ledger says of a tool call.
type Tool struct {
	Key    string     `json:"key"` // message and number of the call, or args: and a digest
	Status string     `json:"status"`
	Claim  *ToolClaim `json:"claim,omitempty"` // the one that holds
	// Others are claims that do not hold: made while nodes were apart, or taken over.
	Others  []ToolClaim     `json:"others,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Failed  bool            `json:"failed,omitempty"`
	Message string          `json:"message,omitempty"` // that has the result, if it was not completed here
}

// ToolClaim is one claim and its outcome.
type ToolClaim struct {
	ID      string          `json:"id"`
	By      string          `json:"by"`
	Actor   string          `json:"actor,omitempty"`
	Origin  string          `json:"origin"`
	At      time.Time       `json:"at"`
	Decided string          `json:"decided"` // "core": nobody connected had it; "local": nobody at the node had
	Over    string          `json:"over,omitempty"`
	DoneAt  *time.Time      `json:"done_at,omitempty"`
	Result  json.RawMessage `json:"result,omitempty"`
	Failed  bool            `json:"failed,omitempty"`

	dot  vclock.Dot
	rank conflict.Rank
	over bool // taken over by another
}

// The values of ToolClaim.Decided.
const (
	DecidedCore  = "core"
	DecidedLocal = "local"
)

// ToolOf shows what the ledger says of a tool call, as a claim would name it,
// or of a key. A call that nobody made is ErrNoCall.
func ToolOf(r Reader, space, session string, do ClaimTool) (Tool, error) {
	m, err := shownMeta(r, space, session)
	if err != nil {
		return Tool{}, err
	}
	return toolOf(r, space, session, m, do)
}

func toolOf(r Reader, space, session string, m *meta, do ClaimTool) (Tool, error) {
	if do.Tool != "" {
		key, err := ArgumentsKey(do.Tool, do.Arguments)
		if err != nil {
			return Tool{}, err
		}
		return toolAt(r, space, session, key)
	}
	if bytes.HasPrefix([]byte(do.Call), []byte(argumentsPrefix)) && len(do.Call) == len(argumentsPrefix)+32 {
		return toolAt(r, space, session, do.Call)
	}
	rd := reading{r: r, space: space, session: session, m: m}
	find := closer{rd: rd}
	ref, err := find.byID(do.Call)
	answered := errors.Is(err, ErrCallAnswered)
	if err != nil && !answered {
		return Tool{}, err
	}
	t, err := toolAt(r, space, session, CallName(ref.message, ref.index))
	if err == nil && answered && t.Status != ToolDone {
		err = rd.answeredTool(&t, ref)
	}
	return t, err
}

// answeredTool adds the result that a message gave.
func (rd *reading) answeredTool(t *Tool, ref callRef) error {
	at, ok, err := locate(rd.r, rd.space, rd.session, rd.m, ref.message)
	if err != nil || !ok {
		return err
	}
	stops, err := rd.results(at.slot)
	if err != nil {
		return err
	}
	i := slices.IndexFunc(stops, func(s stop) bool { return s.call == ref.index })
	if i < 0 {
		return nil
	}
	msg, _, err := rd.message(stops[i], false)
	t.Status, t.Message, t.Result = ToolDone, msg.ID, msg.Content
	return err
}

func toolAt(r Reader, space, session, key string) (Tool, error) {
	l, err := ledgerAt(r, space, session, key)
	if err != nil {
		return Tool{}, err
	}
	return toolIn(r, space, key, l)
}

// toolIn shows a ledger.
func toolIn(r Reader, space, key string, l ledger) (Tool, error) {
	t := Tool{Key: key, Status: ToolOpen}
	if len(l) == 0 {
		return t, nil
	}
	all := make([]ToolClaim, len(l))
	for i, c := range l {
		var err error
		if all[i], err = l.show(r, space, c); err != nil {
			return t, err
		}
	}
	slices.SortFunc(all, ToolClaim.compare)
	t.Claim, t.Others, t.Status = &all[0], all[1:], ToolClaimed
	if t.Claim.DoneAt != nil {
		t.Status, t.Result, t.Failed = ToolDone, t.Claim.Result, t.Claim.Failed
	}
	return t, nil
}

// show reads a claim and its first outcome.
func (l ledger) show(r Reader, space string, c claimed) (ToolClaim, error) {
	op, _, err := opAt(r, space, c.dot)
	if err != nil {
		return ToolClaim{}, err
	}
	x, _ := op.Body.(Claim)
	t := ToolClaim{
		ID: op.Dot.String(), By: x.By, Actor: op.Actor, Origin: string(op.Dot.Origin), At: op.Stamp.Time(),
		Decided: DecidedLocal, dot: op.Dot, rank: rankOf(&op),
		over: slices.ContainsFunc(l, func(o claimed) bool { return o.over == c.dot }),
	}
	if x.Arbitrated {
		t.Decided = DecidedCore
	}
	if c.over != (vclock.Dot{}) {
		t.Over = c.over.String()
	}
	var first conflict.Rank
	for _, dot := range c.done {
		op, _, err := opAt(r, space, dot)
		if err != nil {
			return t, err
		}
		done, ok := op.Body.(Complete)
		if rank := rankOf(&op); ok && (t.DoneAt == nil || rank.Compare(first) < 0) {
			first, t.DoneAt = rank, new(op.Stamp.Time())
			t.Result, t.Failed = json.RawMessage(done.Result), done.Failed
		}
	}
	return t, nil
}

// compare puts the claim that holds first: one that nobody took over; with a
// result before one in progress before one that failed; decided by the core
// before decided locally; then the earlier.
func (c ToolClaim) compare(d ToolClaim) int {
	class := func(c *ToolClaim) int {
		switch {
		case c.DoneAt == nil:
			return 1
		case c.Failed:
			return 2
		}
		return 0
	}
	flag := func(b bool) int { return int(boolNumber(b)) }
	return cmp.Or(cmp.Compare(flag(c.over), flag(d.over)), cmp.Compare(class(&c), class(&d)),
		cmp.Compare(flag(c.Decided != DecidedCore), flag(d.Decided != DecidedCore)), c.rank.Compare(d.rank))
}

// toolConflicts lists the tool calls that more than one holds a claim of.
func toolConflicts(r Reader, space, session string, m *meta) ([]Conflict, error) {
	if !m.tools {
		return nil, nil
	}
	ledgers, err := scanNamed(r, space, session, recTool, wholeLedger)
	if err != nil {
		return nil, err
	}
	var conflicts []Conflict
	for _, key := range sortedKeys(ledgers) {
		if len(ledgers[key]) < 2 {
			continue
		}
		t, err := toolIn(r, space, key, ledgers[key])
		if err != nil {
			return nil, err
		}
		c := Conflict{Kind: "tool", Path: key, Shown: t.Claim.variant()}
		for i := range t.Others {
			if !t.Others[i].over && t.Others[i].By != t.Claim.By {
				v := t.Others[i].variant()
				v.Reason = "claimed by another executor that could not know"
				c.Others = append(c.Others, v)
			}
		}
		if len(c.Others) > 0 {
			conflicts = append(conflicts, c)
		}
	}
	return conflicts, nil
}

func wholeLedger(b []byte) (ledger, []byte, error) {
	l, err := decodeLedger(nil, b)
	return l, nil, err
}

func (c *ToolClaim) variant() Variant {
	value := mustEncode(struct {
		Claim   string          `json:"claim"`
		By      string          `json:"by"`
		Decided string          `json:"decided"`
		Result  json.RawMessage `json:"result,omitempty"`
		Failed  bool            `json:"failed,omitempty"`
	}{c.ID, c.By, c.Decided, c.Result, c.Failed})
	return Variant{Value: value, At: c.At, Actor: c.Actor, Origin: c.Origin}
}

// tools hashes the ledgers.
func (d *digester) tools() error {
	if !d.m.tools {
		return nil
	}
	prefix := namedKey(d.space, d.session, recTool, "")
	for e, err := range d.r.Scan(prefix, nil, false) {
		if err != nil {
			return fmt.Errorf("scan session %s: %w", d.session, err)
		}
		d.part(recTool, e.Key[len(prefix):], e.Value)
	}
	return nil
}

// recorded gives what the ledger knows of a call that has no result among the
// messages: by its name, else by its tool and arguments.
func (rd *reading) recorded(message string, index uint32, call Call) (Tool, error) {
	if !rd.m.tools {
		return Tool{}, nil
	}
	t, err := toolAt(rd.r, rd.space, rd.session, CallName(message, index))
	if err != nil || t.Status != ToolOpen {
		return t, err
	}
	arguments := []byte(argumentText(call.Arguments))
	key, err := ArgumentsKey(call.Name, arguments)
	if err != nil {
		return t, nil // the model wrote no JSON: nobody can have claimed it so
	}
	return toolAt(rd.r, rd.space, rd.session, key)
}

// ToolAt shows what the ledger says of a key. A session that is not shown has
// claimed nothing.
func ToolAt(r Reader, space, session, key string) (Tool, error) {
	m, err := metaAt(r, space, session)
	if err != nil || m.refusal() != nil {
		return Tool{Key: key, Status: ToolOpen}, err
	}
	return toolAt(r, space, session, key)
}

// ToolOfOp shows the tool call that an op claims or completes.
func ToolOfOp(r Reader, op *Op) (Tool, error) {
	claim, ok := op.Body.(Claim)
	if done, completes := op.Body.(Complete); completes {
		var err error
		if claim, ok, err = claimAt(r, op.Space, op.Session, op.Deps, done.Claim); err != nil {
			return Tool{}, err
		}
	}
	if !ok {
		return Tool{}, fmt.Errorf("op %v: %w", op.Dot, ErrNoClaim)
	}
	return toolAt(r, op.Space, op.Session, claim.Key)
}

// CheckClaim tells what [Author] would say to a claim of a tool call that stands
// so: nil if it would write it, or a [ToolError]. found tells that the executor
// has it already.
func (t *Tool) CheckClaim(do *ClaimTool) (found bool, err error) {
	switch held := t.Claim; {
	case do.Over != nil && (held == nil || held.ID != do.Over.String()):
		return false, &ToolError{Err: ErrToolClaimed, Tool: *t}
	case do.Over != nil:
		return false, nil
	case t.Status == ToolDone:
		return false, &ToolError{Err: ErrToolDone, Tool: *t}
	case held == nil:
		return false, nil
	case held.By == do.By:
		return true, nil
	default:
		return false, &ToolError{Err: ErrToolClaimed, Tool: *t}
	}
}

// KnownKey reports whether a command's idempotency key has been used in its
// session: then it is answered, or refused, without anything being written.
func KnownKey(r Reader, cmd Command) (bool, error) {
	if cmd.Key == "" {
		return false, nil
	}
	list, err := commandsAt(r, cmd.Space, cmd.Session, cmd.Key)
	return len(list) > 0, err
}
