package session

import (
	"errors"
	"fmt"

	"github.com/causeway-sync/causeway/conflict/text"
)

// Text is a text as clients see it.
type Text struct {
	Name    string `json:"-"`
	Text    string `json:"text"`
	Version string `json:"version"` // of the session, with its seal; goes back in as the base of edits
}

// TextChange is what an op did to a text: edits made one after the other on the
// text of the session's version before the op, at its author.
type TextChange struct {
	Name  string      `json:"name"`
	Edits []text.Edit `json:"edits"`
}

// ReadText gives a text, or ErrNoText. It costs the ops since the text was saved
// or since texts had it; texts may be nil.
func ReadText(r Reader, texts *Texts, space, session, name string) (Text, error) {
	m, err := shownMeta(r, space, session)
	if err != nil {
		return Text{}, err
	}
	h := textHead{}
	k := textKey{space, session, name}
	if m.texts && ValidName(name) {
		if h, err = textHeadAt(r, k); err != nil {
			return Text{}, err
		}
	}
	if h.ops == 0 {
		return Text{}, fmt.Errorf("text %.140q: %w", name, ErrNoText)
	}
	shown, err := shownText(r, texts, k, h)
	if err != nil {
		return Text{}, err
	}
	seal, err := SealOf(r, space, m.vector)
	return Text{Name: name, Text: shown, Version: SealedVersion(m.vector, seal)}, err
}

func shownText(r Reader, texts *Texts, k textKey, h textHead) (string, error) {
	if shown, ok, err := savedText(r, k, h); ok || err != nil {
		return shown, err
	}
	o, err := openText(r, texts, k)
	if err != nil {
		return "", err
	}
	texts.put(o)
	return o.doc.String(), nil
}

// texts hashes the texts. One that is too big to be shown is so everywhere.
func (d *digester) texts() error {
	if !d.m.texts {
		return nil
	}
	names, err := textNames(d.r, d.space, d.session)
	if err != nil {
		return err
	}
	for _, name := range names {
		k := textKey{d.space, d.session, name}
		h, err := textHeadAt(d.r, k)
		if err != nil {
			return err
		}
		shown, err := shownText(d.r, nil, k, h)
		switch {
		case errors.Is(err, ErrTextFull):
			d.part('T', []byte(name))
		case err != nil:
			return err
		default:
			d.part('t', []byte(name), []byte(shown))
		}
	}
	return nil
}
