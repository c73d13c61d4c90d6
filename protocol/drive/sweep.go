package drive

import (
	"errors"
	"time"

	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

// SweepCutoff gives the time, in milliseconds since 1970, before which a session
// must have been due for a node with this grace to look at it. now is the wall
// clock in the same unit.
func SweepCutoff(now uint64, grace time.Duration) uint64 {
	return now - min(now, uint64(grace.Milliseconds()))
}

// Expiry gives the command that expires a session which is due, unless it was
// used meanwhile; false if it is not idle: then [session.Postpone] looks at it
// later. The command is written also in a space that is carried no longer.
func Expiry(d session.Due, node string) (session.Command, bool) {
	if !d.Idle {
		return session.Command{}, false
	}
	return session.Command{Space: d.Space, Session: d.Session, Actor: node,
		IfMatch: &d.Version, Do: session.ExpireSession{}}, true
}

// Settled reports whether the answer to an expiry means that there is nothing to
// expire any more, or not yet: then [session.Postpone] looks at it later.
func Settled(err error) bool {
	return errors.Is(err, session.ErrSessionExpired) || errors.Is(err, session.ErrSessionErased) ||
		errors.Is(err, session.ErrNoSession) || errors.Is(err, session.ErrVersionMoved)
}

// Purge removes a part of what an erased session left behind, the answers kept
// for retries included, and reports whether there is more.
func Purge(tx session.Tx, g replica.Gone) (more bool, err error) {
	if err := dropAnswers(tx, g); err != nil {
		return false, err
	}
	return replica.Purge(tx, g, PurgeBatch)
}
