package session

import (
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/vclock"
)

// Limits of texts. The first three bound what one op says; its author and the
// decoder of every other node check them alike. The others are checked by the
// author alone: what comes from elsewhere may pass them, because several sites
// wrote at once, and is taken.
const (
	MaxTextEdits  = 4096      // edits in one op, after they were transformed
	MaxTextInsert = 128 << 10 // bytes inserted by one op
	MaxTextDelete = 1 << 20   // code points deleted by one edit of an op

	MaxTexts         = 64      // texts of one session
	MaxTextCallEdits = 1024    // edits in one call
	MaxTextEvents    = 1 << 20 // code points ever inserted and deleted in one text
	MaxTextBehind    = 1 << 16 // code points inserted and deleted since the base of a call
)

// textTwinsMax bounds the ops of one text that say what another one said under
// the same key, and that therefore do not count. A text with more is not shown
// any more: each takes an agent of the document.
const textTwinsMax = 2048

// TextEdit edits a named text. The edits were made one after the other on the
// text as it is when the ops that Deps covers, and no others, are applied; so
// they need no position in the text's history beside Deps.
//
// An op whose edits do not fit that text is kept and has no effect. That is the
// same at every replica, because nothing but the op's past decides it.
type TextEdit struct {
	Name  string
	Edits []text.Edit
}

func (TextEdit) isBody() {}

// EditText edits a named text, which begins to exist with the first edit.
type EditText struct {
	Name  string
	Base  *vclock.Vector // version of the session that the client saw; nil: the present one
	Seal  Seal           // of Base, if the client has it
	Edits []text.Edit    // each made on the text that the one before it left
}

func (EditText) isAction() {}

// Refusals of edits.
var (
	ErrNoText      = errors.New("session: no such text")
	ErrTextOutside = errors.New("session: edit lies outside the text")
	ErrTextFull    = errors.New("session: text is full")
	ErrBaseUnknown = errors.New("session: base is no version that this node knows")
	ErrBaseTooOld  = errors.New("session: too much came since the base")
)

// validate checks what decoder and encoder both insist on.
func (x *TextEdit) validate() error {
	if !ValidName(x.Name) {
		return fmt.Errorf("text %.40q", x.Name)
	}
	if len(x.Edits) > MaxTextEdits {
		return fmt.Errorf("%d edits of a text", len(x.Edits))
	}
	bytes := 0
	for i := range x.Edits {
		e := &x.Edits[i]
		if e.Pos < 0 || e.Pos > text.MaxPos || e.Del < 0 || e.Del > MaxTextDelete {
			return fmt.Errorf("edit deletes %d at %d", e.Del, e.Pos)
		}
		if e.Del == 0 && e.Ins == "" {
			return errors.New("edit without effect")
		}
		if bytes += len(e.Ins); bytes > MaxTextInsert {
			return errors.New("edits insert too much")
		}
		if !utf8.ValidString(e.Ins) {
			return errors.New("inserted text is not UTF-8")
		}
	}
	return nil
}

func (do *EditText) check() error {
	switch n := len(do.Edits); {
	case !ValidName(do.Name):
		return fmt.Errorf("text %.140q: %w", do.Name, ErrInvalid)
	case n == 0:
		return fmt.Errorf("no edits: %w", ErrInvalid)
	case n > MaxTextCallEdits:
		return &LimitError{Err: ErrTooBig, What: "edits", Got: n, Max: MaxTextCallEdits}
	}
	bytes := 0
	for i := range do.Edits {
		e := &do.Edits[i]
		if e.Pos < 0 || e.Del < 0 || e.Pos > text.MaxPos {
			return fmt.Errorf("edits[%d] deletes %d at %d: %w", i, e.Del, e.Pos, ErrTextOutside)
		}
		if e.Del > MaxTextDelete {
			return &LimitError{Err: ErrTooBig, What: fmt.Sprintf("edits[%d].del", i), Got: e.Del, Max: MaxTextDelete}
		}
		if bytes += len(e.Ins); bytes > MaxTextInsert {
			return &LimitError{Err: ErrTooBig, What: "inserted text", Got: bytes, Max: MaxTextInsert}
		}
		if !utf8.ValidString(e.Ins) {
			return fmt.Errorf("edits[%d].ins is not UTF-8: %w", i, ErrInvalid)
		}
	}
	return nil
}

// editText transforms the client's edits to follow what came since its base.
// The document is taken out of the cache until it is known that the op stands.
func (w *author) editText(do *EditText) ([]Body, error) {
	if err := w.mayBegin(do.Name); err != nil {
		return nil, err
	}
	key := textKey{w.cmd.Space, w.cmd.Session, do.Name}
	o, err := openText(w.tx, w.texts, key)
	if err != nil {
		return nil, err
	}
	events, err := o.doc.Events()
	if err != nil {
		return nil, fmt.Errorf("text %s: %w", do.Name, err)
	}
	if events >= MaxTextEvents {
		return nil, &LimitError{Err: ErrTextFull, What: "text " + do.Name, Got: events, Max: MaxTextEvents}
	}
	base := w.m.vector
	if do.Base != nil {
		base = *do.Base
	}
	if !w.m.vector.Includes(base) {
		return nil, fmt.Errorf("version %v: %w", base, ErrBaseUnknown)
	}
	if err := do.unsealed(w.tx, w.cmd.Space); err != nil {
		return nil, err
	}
	merged, err := o.editAt(w.origin, base, do.Edits)
	if err != nil {
		return nil, fmt.Errorf("text %s: %w", do.Name, err)
	}
	w.edited, w.others = o, merged.Others
	x := TextEdit{Name: do.Name, Edits: effective(merged.Edits)}
	if len(x.Edits) > MaxTextEdits {
		return nil, fmt.Errorf("%d edits after others came in between: %w", len(x.Edits), ErrBaseTooOld)
	}
	if len(x.Edits) == 0 && w.cmd.Key == "" {
		return nil, nil
	}
	return one(x), nil
}

// mayBegin checks that there is room for one more text.
func (w *author) mayBegin(name string) error {
	if !w.m.texts {
		return nil
	}
	h, err := textHeadAt(w.tx, textKey{w.cmd.Space, w.cmd.Session, name})
	if err != nil || h.ops > 0 {
		return err
	}
	names, err := textNames(w.tx, w.cmd.Space, w.cmd.Session)
	if err == nil && len(names) >= MaxTexts {
		err = &LimitError{Err: ErrTooBig, What: "texts", Got: len(names) + 1, Max: MaxTexts}
	}
	return err
}

// effective leaves out edits that do nothing, and cuts up what one edit of an op
// cannot delete.
func effective(edits []text.Edit) []text.Edit {
	kept := make([]text.Edit, 0, len(edits))
	for _, e := range edits {
		for ; e.Del > MaxTextDelete; e.Del -= MaxTextDelete {
			kept = append(kept, text.Edit{Pos: e.Pos, Del: MaxTextDelete})
		}
		if e.Del > 0 || e.Ins != "" {
			kept = append(kept, e)
		}
	}
	return kept
}

// settle gives the document back to the cache with the op that was emitted.
func (w *author) settle() error {
	o := w.edited
	if o == nil {
		return nil
	}
	if err := o.written(w.tx); err != nil {
		return err
	}
	return o.keep(w.tx, w.texts)
}

// replayText finds again what a command under a known key was answered: the
// others' edits that its author had besides the command's base.
func replayText(r Reader, cmd *Command, done *Written) error {
	do, ok := cmd.Do.(EditText)
	if !ok || do.Base == nil || len(done.Ops) == 0 {
		return nil
	}
	if err := do.unsealed(r, cmd.Space); err != nil {
		return err
	}
	op := &done.Ops[0]
	key := textKey{cmd.Space, cmd.Session, do.Name}
	o, err := openTextAt(r, key, op.Deps)
	if err != nil {
		return err
	}
	before := o.doc.String()
	merged, err := o.editAt(op.Dot.Origin, *do.Base, do.Edits)
	if err != nil {
		return fmt.Errorf("text %s: %w", do.Name, err)
	}
	done.Others = merged.Others
	x, ok := op.Body.(TextEdit)
	if !ok || slices.Equal(x.Edits, effective(merged.Edits)) {
		return nil
	}
	// The op was made again under another origin, by which the tie rule decides
	// otherwise now: back to the text before it, and on as the op says.
	back, err := text.Invert(before, merged.Edits...)
	if err != nil {
		return fmt.Errorf("text %s: %w", do.Name, err)
	}
	done.Others = slices.Concat(done.Others, back, x.Edits)
	return nil
}
