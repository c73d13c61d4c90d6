package httpapitest

import (
	"context"
	"errors"
	"fmt"

	"github.com/causeway-sync/causeway/conflict/text"
	"github.com/causeway-sync/causeway/internal/httpapi"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// shared is a text and what it was at versions of the space.
type shared struct {
	doc *text.Doc
	at  []known
}

type known struct {
	seq     vclock.Seq
	version text.Version
}

func (sp *space) editText(st *state, cmd session.Command, do session.EditText) (httpapi.Answer, error) {
	if st.texts == nil {
		st.texts = map[string]*shared{}
	}
	t := st.texts[do.Name]
	if t == nil {
		t = &shared{doc: text.New()}
	}
	base := t.doc.Version()
	if do.Base != nil {
		seq := do.Base.At(Origin)
		if seq > sp.seq {
			return httpapi.Answer{}, session.ErrBaseUnknown
		}
		base = nil
		for _, k := range t.at {
			if k.seq <= seq {
				base = k.version
			}
		}
	}
	merged, err := t.doc.EditAt("fake", base, do.Edits...)
	if errors.Is(err, text.ErrPosition) {
		err = fmt.Errorf("%w: %w", session.ErrTextOutside, err)
	}
	if err != nil {
		return httpapi.Answer{}, err
	}
	sp.record(st, cmd, session.Change{Type: "text", Text: &session.TextChange{Name: do.Name, Edits: merged.Edits}})
	t.at = append(t.at, known{sp.seq, t.doc.Version()})
	st.texts[do.Name] = t
	return httpapi.Answer{Edits: merged.Others}, nil
}

// Text gives a text.
func (s *Service) Text(_ context.Context, name, id, of string) (session.Text, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(name, id)
	if err != nil {
		return session.Text{}, err
	}
	t := st.texts[of]
	if t == nil {
		return session.Text{}, session.ErrNoText
	}
	return session.Text{Name: of, Text: t.doc.String(), Version: st.view().Version}, nil
}
