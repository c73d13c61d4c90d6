package session

import (
	"errors"
	"fmt"

	"github.com/causeway-sync/causeway/vclock"
)

// The two indexes of a space are lazy, so that writing to a live session
// rarely touches them: by activity a session moves only from one bucket of
// time to the next, and the note when to look for its expiry stays where it is
// until somebody looks and finds the session alive.

// reindex puts the session where it belongs in both.
func reindex(tx Tx, space, session string, m *meta) error {
	var bucket uint64
	if m.visible() {
		bucket = bucketOf(m.updated)
	}
	if bucket != m.bucket {
		if err := moveKey(tx, m.bucket, bucket, func(n uint64) []byte { return activityKey(space, n, session) }); err != nil {
			return fmt.Errorf("index activity of session %s: %w", session, err)
		}
		m.bucket = bucket
	}
	look := m.look
	switch due := m.expiresAt(); {
	case !m.visible() || due == 0:
		look = 0
	case look == 0 || due < look:
		look = due
	}
	if look != m.look {
		if err := moveKey(tx, m.look, look, func(n uint64) []byte { return expiryKey(n, space, session) }); err != nil {
			return fmt.Errorf("index expiry of session %s: %w", session, err)
		}
		m.look = look
	}
	return nil
}

// moveKey deletes the old key and puts the new one; 0 is nowhere.
func moveKey(tx Tx, from, to uint64, key func(uint64) []byte) error {
	if from != 0 {
		if err := tx.Delete(key(from)); err != nil {
			return err
		}
	}
	if to != 0 {
		return tx.Put(key(to), nil)
	}
	return nil
}

// Due is a session at which the time to look for its expiry has come.
type Due struct {
	At             uint64 // of the index entry, in milliseconds
	Space, Session string
	Idle           bool          // it has been idle for its TTL: ExpireSession is due; if not, Postpone
	Version        vclock.Vector // the session's vector as it was found
}

// ExpiredBefore lists up to limit sessions whose time to look has come at now,
// in milliseconds since 1970, earliest first. The sweeper writes
// [ExpireSession] for those that are idle, with IfMatch set to Version, so that
// a write in between is noticed, and calls [Postpone] for the others.
func ExpiredBefore(r Reader, now uint64, limit int) ([]Due, error) {
	var due []Due
	for e, err := range r.Scan([]byte(expiryPrefix), nil, false) {
		if err != nil {
			return nil, fmt.Errorf("scan expiries: %w", err)
		}
		d, err := parseExpiryKey(e.Key)
		if err != nil {
			return nil, err
		}
		if d.At > now || len(due) >= limit {
			break
		}
		due = append(due, d)
	}
	for i := range due {
		m, err := metaAt(r, due[i].Space, due[i].Session)
		if err != nil {
			return nil, err
		}
		if m != nil {
			due[i].Idle = m.visible() && m.expiresAt() != 0 && m.expiresAt() <= now
			due[i].Version = m.vector
		}
	}
	return due, nil
}

// Postpone moves the index entry of a session that is not idle to the time
// when it can be, or away if it never will.
func Postpone(tx Tx, due Due) error {
	if err := tx.Delete(expiryKey(due.At, due.Space, due.Session)); err != nil {
		return fmt.Errorf("postpone expiry of session %s: %w", due.Session, err)
	}
	m, err := metaAt(tx, due.Space, due.Session)
	switch {
	case err != nil:
		return err
	case m == nil || m.erased || m.look != due.At:
		return nil
	}
	m.look = 0
	if err := reindex(tx, due.Space, due.Session, m); err != nil {
		return err
	}
	return putMeta(tx, due.Space, due.Session, m)
}

// reorder makes the chat index fit the order of the session after that changed.
func reorder(tx Tx, space, session string, m *meta) error {
	if m.order() == Chat {
		for _, seg := range m.line.Segments() {
			for slot := seg.From; slot <= seg.To; slot++ {
				e, err := entryAt(tx, space, session, slot)
				if err != nil {
					return err
				}
				if !e.message {
					continue
				}
				op, _, err := opAt(tx, space, e.shown)
				if err != nil {
					return err
				}
				if err := putChat(tx, space, session, rankOf(&op), slot); err != nil {
					return err
				}
			}
		}
		return nil
	}
	_, err := clearPrefix(tx, namedKey(space, session, recChat, ""), -1)
	return err
}

// clearPrefix deletes up to limit keys with the prefix, all of them if limit
// is negative, damaged ones too, and returns how many it deleted.
func clearPrefix(tx Tx, prefix []byte, limit int) (int, error) {
	var keys [][]byte
	var from []byte
	for again := true; again; {
		again = false
		for e, err := range tx.Scan(prefix, from, false) {
			if limit >= 0 && len(keys) >= limit {
				break
			}
			if err == nil {
				keys = append(keys, e.Key)
				continue
			}
			bad, ok := errors.AsType[*CorruptError](err)
			if !ok || len(bad.Key) < len(prefix) || string(bad.Key[:len(prefix)]) != string(prefix) ||
				string(bad.Key) < string(from) {
				return 0, fmt.Errorf("scan %q: %w", prefix, err)
			}
			keys = append(keys, bad.Key)
			from, again = append(append([]byte(nil), bad.Key...), 0), true
			break
		}
	}
	for _, key := range keys {
		if err := tx.Delete(key); err != nil {
			return 0, fmt.Errorf("delete %q: %w", key, err)
		}
	}
	return len(keys), nil
}
