package store

import "github.com/causeway-sync/causeway/session"

// Prepare is [Store.Update] for a store whose committer does not run yet: what
// a node must settle before it starts. Afterwards it returns [ErrRunning].
func (s *Store) Prepare(fn func(tx session.Tx) error) error {
	if s.running.Load() {
		return ErrRunning
	}
	r := &request{fn: fn, done: make(chan error, 1)}
	s.serve(r)
	return <-r.done
}
