package session

import (
	"errors"
	"fmt"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/clocksync"
	"github.com/causeway-sync/causeway/conflict"
	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

// Author carries out a client's command: it checks it against the session as
// this replica sees it, makes the ops and hands them to env.Emit one by one,
// each after the one before is applied. A refused command has written nothing:
// all checks come before the first Emit.
//
// The checks in their order: form and size (ErrInvalid, ErrTooBig); erased
// (ErrSessionErased); an idempotency key that is known (the first answer
// again, or ErrKeyReused); existence (ErrNoSession, ErrSessionExists,
// ErrSessionExpired); IfMatch (ErrVersionMoved); lifecycle (ErrSessionEnded,
// ErrIllegalMove); then what the action itself needs.
func Author(tx Tx, env Env, cmd Command) (Written, error) {
	if err := cmd.check(); err != nil {
		return Written{}, err
	}
	m, err := metaAt(tx, cmd.Space, cmd.Session)
	if err != nil {
		return Written{}, err
	}
	if m != nil && m.erased {
		return Written{}, ErrSessionErased
	}
	written, known, partly, err := replay(tx, &cmd)
	if known && err == nil {
		if err = replayText(tx, &cmd, &written); err == nil {
			err = written.seal(tx, &cmd)
		}
	}
	if known || err != nil {
		return written, err
	}
	if partly {
		cmd.IfMatch = nil // it held at the node that took the command first
	}
	if m == nil {
		m = &meta{}
	}
	if err := admit(m, &cmd); err != nil {
		return Written{}, err
	}
	w := author{tx: tx, m: m, cmd: &cmd, again: partly, texts: env.Texts, origin: env.Next().Origin}
	bodies, err := w.bodies()
	if err != nil {
		return Written{}, err
	}
	if w.found.Seq != 0 {
		return replayed(tx, cmd.Space, command{first: w.found, count: 1})
	}
	ops, err := w.ops(env, bodies)
	if err != nil {
		return Written{}, err
	}
	if written, err = emit(env, ops, m.vector); err != nil {
		return written, err
	}
	written.Others = w.others
	if err := w.settle(); err != nil {
		return written, err
	}
	return written, written.seal(tx, &cmd)
}

// check is what can be said of a command without looking at the session.
func (cmd *Command) check() error {
	switch {
	case !ValidName(cmd.Space):
		return fmt.Errorf("space %.140q: %w", cmd.Space, ErrInvalid)
	case !ValidName(cmd.Session):
		return fmt.Errorf("session %.140q: %w", cmd.Session, ErrInvalid)
	case len(cmd.Actor) > MaxActorBytes:
		return &LimitError{Err: ErrTooBig, What: "actor", Got: len(cmd.Actor), Max: MaxActorBytes}
	case len(cmd.Key) > MaxKeyBytes:
		return &LimitError{Err: ErrTooBig, What: "idempotency key", Got: len(cmd.Key), Max: MaxKeyBytes}
	case !utf8.ValidString(cmd.Actor) || !utf8.ValidString(cmd.Key):
		return fmt.Errorf("actor or idempotency key is not UTF-8: %w", ErrInvalid)
	case cmd.Key == "" && cmd.Request != Digest{}:
		return fmt.Errorf("request digest without a key: %w", ErrInvalid)
	}
	switch do := cmd.Do.(type) {
	case OpenSession:
		return do.check()
	case Append:
		return do.check()
	case EditMessage:
		return do.check()
	case AdjustContext:
		return do.check()
	case EditText:
		return do.check()
	case ClaimTool:
		return do.check()
	case CompleteTool:
		return do.check()
	case PatchContext:
		if len(do.Patch) > MaxOpBytes {
			return &LimitError{Err: ErrTooBig, What: "patch", Got: len(do.Patch), Max: MaxOpBytes}
		}
		_, err := parseObject(do.Patch)
		return err
	case Move, RedactMessage, ExpireSession, EraseSession:
		return nil
	default:
		return fmt.Errorf("no action: %w", ErrInvalid)
	}
}

// replay answers a command whose key is known. Of a batch that another node
// took, only the first messages may have come: then partly is set, and the
// batch is written again. What is there already has the same ids and stays.
func replay(r Reader, cmd *Command) (w Written, known, partly bool, err error) {
	if cmd.Key == "" {
		return Written{}, false, false, nil
	}
	list, err := commandsAt(r, cmd.Space, cmd.Session, cmd.Key)
	if err != nil || len(list) == 0 {
		return Written{}, false, false, err
	}
	for _, c := range list {
		if c.request != cmd.Request {
			continue
		}
		if c.count < cmd.size() {
			partly = true
			continue
		}
		w, err = replayed(r, cmd.Space, c)
		return w, err == nil, false, err
	}
	if partly {
		return Written{}, false, true, nil
	}
	return Written{}, false, false, ErrKeyReused
}

// size is the number of ops that the command makes, if it makes any.
func (cmd *Command) size() uint64 {
	if do, ok := cmd.Do.(Append); ok {
		return uint64(len(do.Messages))
	}
	return 1
}

// replayed reads back what was written under a key.
func replayed(r Reader, space string, c command) (Written, error) {
	w := Written{Replayed: true}
	for i := range c.count {
		dot := vclock.Dot{Origin: c.first.Origin, Seq: c.first.Seq + vclock.Seq(i)}
		op, _, err := opAt(r, space, dot)
		if err != nil {
			return Written{}, err
		}
		w.Ops = append(w.Ops, op)
		w.Version = op.Deps.With(op.Dot)
	}
	return w, nil
}

// admit checks the session as a whole.
func admit(m *meta, cmd *Command) error {
	err := m.refusal()
	if _, opens := cmd.Do.(OpenSession); opens {
		switch {
		case err == nil:
			return ErrSessionExists
		case errors.Is(err, ErrNoSession):
			err = nil
		}
	}
	if _, erases := cmd.Do.(EraseSession); erases && errors.Is(err, ErrSessionExpired) {
		err = nil
	}
	if err != nil {
		return err
	}
	if cmd.IfMatch != nil && cmd.IfMatch.Compare(m.vector) != vclock.Equal {
		return ErrVersionMoved
	}
	if state, _ := m.life.Shown(); state == Ended {
		switch cmd.Do.(type) {
		case Append, EditMessage, PatchContext, AdjustContext, EditText, ClaimTool: // what was claimed may be completed
			return ErrSessionEnded
		}
	}
	return nil
}

// author makes the bodies of a command's ops.
type author struct {
	tx    Tx
	m     *meta
	cmd   *Command
	again bool // a part of the command is here already

	texts  *Texts
	origin vclock.Origin
	edited *openedText // with the edits, until they are emitted
	others []text.Edit
	found  vclock.Dot // what is there already and needs not be written
}

func (w *author) bodies() ([]Body, error) {
	switch do := w.cmd.Do.(type) {
	case OpenSession:
		return w.open(&do)
	case Move:
		return w.move(do.To)
	case Append:
		return w.appendMessages(do.Messages)
	case EditMessage:
		return one(Edit{Message: do.ID, Content: do.Content, Metadata: do.Metadata}), w.editable(do.ID)
	case RedactMessage:
		return one(Redact{Message: do.ID}), w.editable(do.ID)
	case PatchContext:
		return w.patch(do.Patch)
	case AdjustContext:
		return w.adjust(do.Changes)
	case EditText:
		return w.editText(&do)
	case ClaimTool:
		return w.claimTool(&do)
	case CompleteTool:
		return w.completeTool(&do)
	case ExpireSession:
		return one(Expire{}), nil
	case EraseSession:
		return one(Erase{}), nil
	default:
		panic("session: action of no known type")
	}
}

func one(body Body) []Body { return []Body{body} }

func (w *author) open(do *OpenSession) ([]Body, error) {
	ttl, err := wholeMillis(do.TTL)
	if err != nil {
		return nil, err
	}
	x := Open{Order: do.Order, TTL: ttl, Labels: do.Labels}
	if len(do.Context) > 0 {
		object, err := parseObject(do.Context)
		if err != nil {
			return nil, fmt.Errorf("context: %w", err)
		}
		if x.Context, err = objectLeaves(object); err != nil {
			return nil, err
		}
	}
	return one(x), nil
}

func (w *author) move(to string) ([]Body, error) {
	state, epoch := w.m.life.Shown()
	next, epoch, ok := conflict.Next(state, epoch, to)
	if !ok {
		return nil, &MoveError{From: state.String(), To: to, Legal: conflict.Legal(state)}
	}
	return one(Transition{To: next, Epoch: epoch}), nil
}

func (w *author) editable(id string) error {
	if !ValidName(id) {
		return ErrNoMessage
	}
	_, ok, err := locate(w.tx, w.cmd.Space, w.cmd.Session, w.m, id)
	switch {
	case err != nil:
		return err
	case !ok:
		return ErrNoMessage
	}
	e, err := editsAt(w.tx, w.cmd.Space, w.cmd.Session, id)
	switch {
	case err != nil:
		return fmt.Errorf("read edits of message %s: %w", id, err)
	case e.redacted:
		return ErrMessageRedacted
	}
	return nil
}

func (w *author) patch(patch []byte) ([]Body, error) {
	object, err := parseObject(patch)
	if err != nil {
		return nil, err
	}
	l, err := leavesAt(w.tx, w.cmd.Space, w.cmd.Session, w.m)
	if err != nil {
		return nil, err
	}
	shown, _ := l.render()
	list, err := patchLeaves(shown, object, &l)
	if err != nil || len(list) == 0 && w.cmd.Key == "" {
		return nil, err
	}
	return one(Set{Leaves: list}), nil
}

// ops puts the bodies into ops and checks that each can be encoded.
func (w *author) ops(env Env, bodies []Body) ([]Op, error) {
	if len(bodies) == 0 {
		return nil, nil
	}
	dot, deps, last := env.Next(), w.m.vector, w.m.latest
	ops := make([]Op, len(bodies))
	for i, body := range bodies {
		if put, ok := body.(Put); ok {
			put.Parent, put.CallOf = dotted(put.Parent, ops), dotted(put.CallOf, ops)
			body = put
		}
		stamp, err := stampAfter(env, last)
		if err != nil {
			return nil, err
		}
		op := Op{
			Dot: vclock.Dot{Origin: dot.Origin, Seq: dot.Seq + vclock.Seq(i)}, Space: w.cmd.Space, Session: w.cmd.Session,
			Deps: deps, Stamp: stamp, Actor: w.cmd.Actor, Key: w.cmd.Key, Body: body,
		}
		if op.Key != "" {
			op.KeyIndex, op.Request = uint32(i), w.cmd.Request
		}
		if err := op.fits(); err != nil {
			return nil, err
		}
		ops[i], last, deps = op, stamp, deps.With(op.Dot)
	}
	return ops, nil
}

// stampAfter takes a stamp from env and insists on what env promises.
func stampAfter(env Env, after clocksync.Stamp) (clocksync.Stamp, error) {
	stamp, err := env.Stamp(after)
	if err != nil {
		return stamp, fmt.Errorf("take a stamp: %w", err)
	}
	if stamp.Compare(after) <= 0 {
		panic(fmt.Sprintf("session: want a stamp after %v, have %v", after, stamp))
	}
	return stamp, nil
}

// fits refuses an op that could not be encoded. Small ones are only looked at.
func (op *Op) fits() error {
	if put, ok := op.Body.(Put); ok && op.Deps.Len() <= 16 && put.bytes() < MaxOpBytes/2 {
		if err := op.validate(); err != nil {
			return fmt.Errorf("%w: %w", ErrInvalid, err)
		}
		return nil
	}
	_, err := op.Append(nil)
	return err
}

func emit(env Env, ops []Op, version vclock.Vector) (Written, error) {
	for i := range ops {
		if err := env.Emit(ops[i]); err != nil {
			return Written{}, fmt.Errorf("write op %v: %w", ops[i].Dot, err)
		}
		version = version.With(ops[i].Dot)
	}
	return Written{Ops: ops, Version: version}, nil
}
