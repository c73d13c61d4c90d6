package replica

import (
	"fmt"

	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Shows reports whether the replica holds everything that since covers, a
// version of the session or, if that is empty, of the space. Of a session,
// what waits for its dependencies here does not count as held.
func Shows(r session.Reader, space, id string, since vclock.Vector) (bool, error) {
	if since.IsEmpty() {
		return true, nil
	}
	if id != "" { // the usual case, which costs one read
		applied, err := session.Vector(r, space, id)
		if err != nil || applied.Includes(since) {
			return err == nil, err
		}
	}
	held, err := Vector(r, space)
	if err != nil || !held.Includes(since) || id == "" {
		return err == nil && held.Includes(since), err
	}
	prefix := session.WaitPrefix(space, id)
	for e, err := range r.Scan(prefix, nil, false) {
		if err != nil {
			return false, fmt.Errorf("scan what waits in session %s: %w", id, err)
		}
		dot, err := waitingDot(prefix, e.Key)
		if err != nil {
			return false, err
		}
		if since.Covers(dot) {
			return false, nil
		}
	}
	return true, nil
}
