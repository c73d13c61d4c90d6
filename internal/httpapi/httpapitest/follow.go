package httpapitest

import (
	"cmp"
	"context"
	"errors"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi/push"
	"github.com/causeway-sync/causeway/protocol/live"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

type watcher struct {
	space, session string
	moved          func()
}

// moved tells everybody of a write; s.mu is held.
func (s *Service) moved(space, id string) {
	close(s.change)
	s.change = make(chan struct{})
	for w := range s.watch {
		if w.space == space && (w.session == "" || w.session == id) {
			w.moved()
		}
	}
}

// Changes lists from the log and waits for more.
func (s *Service) Changes(ctx context.Context, name, id string, since vclock.Vector, limit int,
	wait time.Duration,
) ([]session.Change, vclock.Vector, error) {
	deadline := time.After(wait)
	for {
		found, next, again, _, err := s.changes(name, id, since, limit)
		missing := errors.Is(err, session.ErrNoSession)
		if missing && wait <= 0 && !since.IsEmpty() {
			return nil, since, nil
		}
		if err != nil && !missing || len(found) > 0 || wait <= 0 {
			return found, next, err
		}
		select {
		case <-again:
		case <-deadline:
			wait = 0
		case <-ctx.Done():
			return nil, since, ctx.Err()
		}
	}
}

func (s *Service) changes(name, id string, since vclock.Vector, limit int) (
	found []session.Change, next vclock.Vector, again <-chan struct{}, more bool, err error,
) {
	s.mu.Lock()
	defer s.mu.Unlock()
	sp := s.locked(name)
	next = since
	if id != "" {
		if _, err := s.find(name, id); err != nil {
			return nil, next, s.change, false, err
		}
	}
	for i, c := range sp.log {
		dot := vclock.Dot{Origin: Origin, Seq: vclock.Seq(i + 1)}
		if since.Covers(dot) || (id != "" && c.Session != id) {
			continue
		}
		if len(found) == limit {
			more = true
			break
		}
		found = append(found, c)
		next = next.With(dot)
	}
	return found, next, s.change, more, nil
}

// Page lists from the log.
func (s *Service) Page(name, id string, since vclock.Vector) ([]session.Change, bool, error) {
	found, _, _, more, err := s.changes(name, id, since, live.MaxPageItems)
	return found, more, err
}

// Held is what the log has of a session or of the space.
func (s *Service) Held(name, id string) (held vclock.Vector, err error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	for i, c := range s.locked(name).log {
		if id == "" || c.Session == id {
			held = held.With(vclock.Dot{Origin: Origin, Seq: vclock.Seq(i + 1)})
		}
	}
	return held, nil
}

// Covers compares with all that the space has.
func (s *Service) Covers(name, _ string, since vclock.Vector) (bool, error) {
	held, err := s.Held(name, "")
	return held.Includes(since), err
}

// HasMessage looks among the messages.
func (s *Service) HasMessage(name, id, message string) (bool, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	st, err := s.find(name, id)
	if errors.Is(err, session.ErrNoSession) {
		return false, nil
	}
	if err != nil {
		return false, err
	}
	return slices.ContainsFunc(st.msgs, func(m session.Message) bool { return m.ID == message }), nil
}

// Wire gives the way to other nodes.
func (s *Service) Wire() (string, push.Wire) { return cmp.Or(s.Name, "fake"), s.Signals }

// Follow calls moved at each write.
func (s *Service) Follow(name, id string, moved func()) (stop func()) {
	s.mu.Lock()
	defer s.mu.Unlock()
	s.locked(name)
	if s.watch == nil {
		s.watch = map[*watcher]bool{}
	}
	w := &watcher{name, id, moved}
	s.watch[w] = true
	return func() {
		s.mu.Lock()
		defer s.mu.Unlock()
		delete(s.watch, w)
	}
}
