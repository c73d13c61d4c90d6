package session

import (
	"crypto/sha256"
	"encoding/binary"
	"encoding/hex"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/vclock"
)

// Claim says that somebody is about to carry out a tool call: it is written
// before the side effect. The first claim of a key holds; others that come
// about while nodes are apart stay visible beside it.
type Claim struct {
	Key  string // what is claimed: [CallName] of a call, or [ArgumentsKey]
	By   string // the executor
	Call string // the call as the executor named it; may be empty
	Tool string // the tool, if the executor named it
	Over vclock.Dot
	// Arbitrated: nobody who could reach the core had claimed it.
	Arbitrated bool
}

// Complete says what came of a claim.
type Complete struct {
	Claim  vclock.Dot // of the [Claim]
	Result []byte     // JSON
	Failed bool       // Result is an error
}

func (Claim) isBody()    {}
func (Complete) isBody() {}

// argumentsPrefix begins the keys of tools with arguments. No [CallName] is like
// that: its number is short.
const argumentsPrefix = "args:"

// ArgumentsKey is the key under which a tool with certain arguments is claimed,
// whoever calls it: arguments are equal if they are equal as JSON, up to the
// order of members. It returns ErrInvalid for what is no JSON.
func ArgumentsKey(tool string, arguments []byte) (string, error) {
	if len(arguments) == 0 {
		arguments = []byte("{}")
	}
	if err := checkJSON(arguments); err != nil {
		return "", fmt.Errorf("arguments: %w", err)
	}
	text, err := canonical(arguments)
	if err != nil {
		return "", fmt.Errorf("arguments: %w", err)
	}
	sum := sha256.Sum256(packText(packText(nil, tool), text))
	return argumentsPrefix + hex.EncodeToString(sum[:16]), nil
}

func (x *Claim) validate() error {
	switch {
	case x.Key == "" || !validText(x.Key, MaxToolBytes):
		return errors.New("key of a claim is empty, too long or not UTF-8")
	case x.By == "" || !validText(x.By, MaxActorBytes):
		return errors.New("executor is empty, too long or not UTF-8")
	case !validText(x.Call, MaxToolBytes) || !validText(x.Tool, MaxToolBytes):
		return errors.New("call or tool is too long or not UTF-8")
	}
	return validDot(x.Over, true)
}

func (x *Complete) validate() error {
	if len(x.Result) == 0 || len(x.Result) > MaxMessageBytes {
		return fmt.Errorf("result of %d bytes", len(x.Result))
	}
	return validDot(x.Claim, false)
}

func validDot(d vclock.Dot, optional bool) error {
	if optional && d == (vclock.Dot{}) {
		return nil
	}
	if !ValidName(string(d.Origin)) || len(d.Origin) > vclock.MaxOriginBytes || d.Seq == 0 {
		return fmt.Errorf("claim %.40q %d", d.Origin, d.Seq)
	}
	return nil
}

func appendClaim(b []byte, x *Claim) []byte {
	b = appendHead(b, fieldClaim, sizeText(1, x.Key)+sizeText(2, x.By)+sizeText(3, x.Call)+sizeText(4, x.Tool)+
		sizeText(5, string(x.Over.Origin))+sizeNumber(6, uint64(x.Over.Seq))+sizeNumber(7, boolNumber(x.Arbitrated)))
	b = appendText(b, 1, x.Key)
	b = appendText(b, 2, x.By)
	b = appendText(b, 3, x.Call)
	b = appendText(b, 4, x.Tool)
	b = appendText(b, 5, string(x.Over.Origin))
	b = appendNumber(b, 6, uint64(x.Over.Seq))
	return appendNumber(b, 7, boolNumber(x.Arbitrated))
}

func appendComplete(b []byte, x *Complete) []byte {
	b = appendHead(b, fieldComplete, sizeText(1, string(x.Claim.Origin))+sizeNumber(2, uint64(x.Claim.Seq))+
		sizeBytes(3, x.Result)+sizeNumber(4, boolNumber(x.Failed)))
	b = appendText(b, 1, string(x.Claim.Origin))
	b = appendNumber(b, 2, uint64(x.Claim.Seq))
	b = appendBytes(b, 3, x.Result)
	return appendNumber(b, 4, boolNumber(x.Failed))
}

func (f *fields) claim() Claim {
	x := Claim{}
	for f.next() {
		switch f.number {
		case 1:
			x.Key = f.text(MaxToolBytes)
		case 2:
			x.By = f.text(MaxActorBytes)
		case 3:
			x.Call = f.text(MaxToolBytes)
		case 4:
			x.Tool = f.text(MaxToolBytes)
		case 5:
			x.Over.Origin = vclock.Origin(f.text(vclock.MaxOriginBytes))
		case 6:
			x.Over.Seq = vclock.Seq(f.uint(maxSeq))
		case 7:
			x.Arbitrated = f.uint(1) == 1
		}
	}
	return x
}

func (f *fields) complete() Complete {
	x := Complete{}
	for f.next() {
		switch f.number {
		case 1:
			x.Claim.Origin = vclock.Origin(f.text(vclock.MaxOriginBytes))
		case 2:
			x.Claim.Seq = vclock.Seq(f.uint(maxSeq))
		case 3:
			x.Result = f.bytes(MaxMessageBytes)
		case 4:
			x.Failed = f.uint(1) == 1
		}
	}
	return x
}

const maxSeq = 1<<64 - 1

// ledger is what was done about one key, by ascending dots: a function of the
// set of applied ops.
type ledger []claimed

type claimed struct {
	dot  vclock.Dot
	over vclock.Dot
	done []vclock.Dot // completions
}

func (l ledger) append(b []byte) []byte {
	b = binary.AppendUvarint(b, uint64(len(l)))
	for _, c := range l {
		b = packDot(packDot(b, c.dot), c.over)
		b = binary.AppendUvarint(b, uint64(len(c.done)))
		for _, d := range c.done {
			b = packDot(b, d)
		}
	}
	return b
}

func decodeLedger(key, b []byte) (ledger, error) {
	p := packed{rest: b}
	var l ledger
	for range p.count() {
		c := claimed{dot: p.dot(), over: p.dot()}
		for range p.count() {
			c.done = append(c.done, p.dot())
		}
		l = append(l, c)
	}
	return l, p.end(key)
}

func ledgerAt(r Reader, space, session, tool string) (ledger, error) {
	key := namedKey(space, session, recTool, tool)
	b, err := r.Get(key)
	if err != nil {
		return nil, fmt.Errorf("read ledger of tool call %.80q: %w", tool, err)
	}
	if b == nil {
		return nil, nil
	}
	return decodeLedger(key, b)
}

func (a *applier) putLedger(tool string, l ledger) error {
	a.m.tools = true
	if err := a.tx.Put(namedKey(a.op.Space, a.op.Session, recTool, tool), l.append(nil)); err != nil {
		return fmt.Errorf("store ledger of tool call %.80q: %w", tool, err)
	}
	return nil
}

func (a *applier) claim(x *Claim) error {
	l, err := ledgerAt(a.tx, a.op.Space, a.op.Session, x.Key)
	if err != nil {
		return err
	}
	at, _ := l.find(a.op.Dot)
	c := claimed{dot: a.op.Dot}
	if a.op.Deps.Covers(x.Over) {
		c.over = x.Over
	}
	return a.putLedger(x.Key, slices.Insert(l, at, c))
}

func (l ledger) find(dot vclock.Dot) (int, bool) {
	return slices.BinarySearchFunc(l, dot, func(c claimed, d vclock.Dot) int { return c.dot.Compare(d) })
}

// complete notes the outcome of a claim that its author had seen.
func (a *applier) complete(x *Complete) error {
	claim, ok, err := claimAt(a.tx, a.op.Space, a.op.Session, a.op.Deps, x.Claim)
	if err != nil || !ok {
		return err
	}
	l, err := ledgerAt(a.tx, a.op.Space, a.op.Session, claim.Key)
	if err != nil {
		return err
	}
	at, ok := l.find(x.Claim)
	if !ok {
		return missing(namedKey(a.op.Space, a.op.Session, recTool, claim.Key))
	}
	i, _ := slices.BinarySearchFunc(l[at].done, a.op.Dot, vclock.Dot.Compare)
	l[at].done = slices.Insert(l[at].done, i, a.op.Dot)
	return a.putLedger(claim.Key, l)
}

// claimAt reads the claim of a dot, if it is one of the session and held.
func claimAt(r Reader, space, session string, held vclock.Vector, dot vclock.Dot) (Claim, bool, error) {
	if !held.Covers(dot) {
		return Claim{}, false, nil
	}
	op, _, err := opAt(r, space, dot)
	if err != nil {
		return Claim{}, false, err
	}
	claim, ok := op.Body.(Claim)
	return claim, ok && op.Session == session, nil
}

// ClaimTool claims a tool call: the one of the id Call, or with Tool set any
// call of that tool with these arguments. By names the executor: who claims
// what it has claimed already gets its own claim again.
type ClaimTool struct {
	Call      string
	Tool      string
	Arguments []byte
	By        string
	Over      *vclock.Dot // the claim to be taken over
	// Arbitrated: the core says that nobody else has claimed it.
	Arbitrated bool
	// CoreOnly has a node refuse the claim if it cannot ask the core.
	CoreOnly bool
}

// CompleteTool stores the outcome of a claim.
type CompleteTool struct {
	Claim  vclock.Dot
	Result []byte
	Failed bool
}

func (ClaimTool) isAction()    {}
func (CompleteTool) isAction() {}

func (do *ClaimTool) check() error {
	switch {
	case do.By == "" || !utf8.ValidString(do.By):
		return fmt.Errorf("executor is empty or not UTF-8: %w", ErrInvalid)
	case len(do.By) > MaxActorBytes:
		return &LimitError{Err: ErrTooBig, What: "by", Got: len(do.By), Max: MaxActorBytes}
	case len(do.Call) > MaxToolBytes || len(do.Tool) > MaxToolBytes:
		return &LimitError{Err: ErrTooBig, What: "tool call", Got: max(len(do.Call), len(do.Tool)), Max: MaxToolBytes}
	case do.Call == "" && do.Tool == "" || !utf8.ValidString(do.Call) || !utf8.ValidString(do.Tool):
		return fmt.Errorf("neither call nor tool is named, or not in UTF-8: %w", ErrInvalid)
	case len(do.Arguments) > MaxMessageBytes:
		return &LimitError{Err: ErrTooBig, What: "arguments", Got: len(do.Arguments), Max: MaxMessageBytes}
	case do.Over != nil && validDot(*do.Over, false) != nil:
		return fmt.Errorf("over: %w", ErrInvalid)
	}
	return nil
}

func (do *CompleteTool) check() error {
	switch {
	case validDot(do.Claim, false) != nil:
		return fmt.Errorf("claim %v: %w", do.Claim, ErrNoClaim)
	case len(do.Result) == 0:
		return fmt.Errorf("no result: %w", ErrInvalid)
	case len(do.Result) > MaxMessageBytes:
		return &LimitError{Err: ErrTooBig, What: "result", Got: len(do.Result), Max: MaxMessageBytes}
	}
	if err := checkJSON(do.Result); err != nil {
		return fmt.Errorf("result: %w", err)
	}
	return nil
}

// ToolError refuses a claim or an outcome and shows what stands against it.
type ToolError struct {
	Err  error // ErrToolClaimed or ErrToolDone
	Tool Tool
}

func (e *ToolError) Error() string {
	if e.Tool.Claim == nil {
		return fmt.Sprintf("%v: %.140s", e.Err, e.Tool.Key)
	}
	return fmt.Sprintf("%v: %.140s by %.140s", e.Err, e.Tool.Key, e.Tool.Claim.By)
}

// Unwrap gives the class.
func (e *ToolError) Unwrap() error { return e.Err }

// claimTool checks a claim against the ledger. A claim of the same executor is
// found again: then there is nothing to write, and w.found is it.
func (w *author) claimTool(do *ClaimTool) ([]Body, error) {
	t, err := toolOf(w.tx, w.cmd.Space, w.cmd.Session, w.m, *do)
	if err != nil {
		return nil, err
	}
	found, err := t.CheckClaim(do)
	if err != nil {
		return nil, err
	}
	if found {
		w.found = t.Claim.dot
		return nil, nil
	}
	if n := len(t.Others); n >= maxClaims {
		return nil, &LimitError{Err: ErrTooBig, What: "claims of a tool call", Got: n + 1, Max: maxClaims}
	}
	x := Claim{Key: t.Key, By: do.By, Call: do.Call, Tool: do.Tool, Arbitrated: do.Arbitrated}
	if do.Over != nil {
		x.Over = *do.Over
	}
	return one(x), nil
}

// maxClaims bounds the takeovers of one tool call.
const maxClaims = 256

// completeTool checks an outcome. The same outcome again is found, not written.
func (w *author) completeTool(do *CompleteTool) ([]Body, error) {
	claim, ok, err := claimAt(w.tx, w.cmd.Space, w.cmd.Session, w.m.vector, do.Claim)
	if err != nil {
		return nil, err
	}
	if !ok {
		return nil, fmt.Errorf("claim %v: %w", do.Claim, ErrNoClaim)
	}
	l, err := ledgerAt(w.tx, w.cmd.Space, w.cmd.Session, claim.Key)
	if err != nil {
		return nil, err
	}
	at, ok := l.find(do.Claim)
	if !ok {
		return nil, missing(namedKey(w.cmd.Space, w.cmd.Session, recTool, claim.Key))
	}
	for _, dot := range l[at].done {
		op, _, err := opAt(w.tx, w.cmd.Space, dot)
		if err != nil {
			return nil, err
		}
		if done, ok := op.Body.(Complete); ok && done.Failed == do.Failed && string(done.Result) == string(do.Result) {
			w.found = dot
			return nil, nil
		}
	}
	if len(l[at].done) > 0 {
		t, err := toolAt(w.tx, w.cmd.Space, w.cmd.Session, claim.Key)
		if err != nil {
			return nil, err
		}
		return nil, &ToolError{Err: ErrToolDone, Tool: t}
	}
	return one(Complete{Claim: do.Claim, Result: do.Result, Failed: do.Failed}), nil
}
