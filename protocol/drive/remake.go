package drive

import (
	"bytes"
	"errors"
	"fmt"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// remaking is how the records of a kind are made anew from others of this store.
type remaking uint8

const (
	noRemake    remaking = iota
	headAgain            // from the op records
	spaceAgain           // likewise
	cursorAgain          // as if nothing were released: the stores are asked
	emptyAgain           // its key says it all
	dropIt               // nothing depends on it
	ownAgain             // what a running node knows by itself
)

// remakes lists the kinds by what their keys begin with.
var remakes = []struct {
	prefix string
	parts  int // of the key behind the prefix, divided by zero bytes, at least
	how    remaking
}{
	{"f/", 2, headAgain},
	{"p/", 1, spaceAgain},
	{"w/", 3, emptyAgain}, // that an op waits
	{"a/", 2, emptyAgain}, // that a session was active
	{"x/", 2, emptyAgain}, // when to look at a session
	{"g/", 2, emptyAgain}, // that an erased session is to be purged
	{"z/fence/", 1, emptyAgain},
	{"u/", 2, cursorAgain},
	{"y/", 3, dropIt},        // an answer kept for retries: they get the present state
	{"n/stream/", 1, dropIt}, // the stream is read from its beginning
	{"n/clock", 1, ownAgain},
	{"n/origin", 1, ownAgain},
	{"n/cluster", 1, ownAgain},
}

func remakingOf(key []byte) (how remaking, rest []byte) {
	for _, k := range remakes {
		if rest, ok := bytes.CutPrefix(key, []byte(k.prefix)); ok && bytes.Count(rest, []byte{0})+1 >= k.parts {
			return k.how, rest
		}
	}
	return noRemake, nil
}

// Remake makes the damaged record at key anew, for which [RepairOf] says so. A
// record that is sound by now is left alone. Where reads of a space may have
// ended at the record, the space is named: [FeedsOf] it are touched after the
// commit ([Moved.Touch]), so that they go on.
func Remake(tx session.Tx, rep *replica.Replica, id Identity, key []byte) (space string, err error) {
	how, rest := remakingOf(key)
	_, err = tx.Get(key)
	damage, err := apart(err)
	if err != nil || damage == nil && (how == emptyAgain || how == dropIt) {
		return "", err
	}
	first, second, _ := bytes.Cut(rest, []byte{0})
	f := protocol.Feed{Space: string(first), Origin: vclock.Origin(second)}
	switch how {
	case headAgain:
		if _, err := replica.RemakeHead(tx, f); err != nil {
			return "", fmt.Errorf("make head of %s of %s anew: %w", f.Origin, f.Space, err)
		}
		return f.Space, nil
	case spaceAgain:
		if err := replica.RemakeSpace(tx, string(rest)); err != nil {
			return "", fmt.Errorf("make record of space %s anew: %w", rest, err)
		}
		return string(rest), nil
	case cursorAgain:
		return "", replica.KeepReleased(tx, f, 0)
	case emptyAgain:
		return "", tx.Put(key, nil)
	case dropIt:
		return "", tx.Delete(key)
	case ownAgain:
		return "", remakeOwn(tx, rep, id, key)
	default:
		return "", ErrNoRepair
	}
}

// remakeOwn writes anew what the node is and how far its clock went.
func remakeOwn(tx session.Tx, rep *replica.Replica, id Identity, key []byte) error {
	switch {
	case bytes.Equal(key, originKey):
		return tx.Put(key, []byte(rep.Origin()))
	case bytes.Equal(key, clusterKey):
		return tx.Put(key, []byte(id.Cluster))
	default:
		return rep.KeepBound(tx)
	}
}

// FeedsOf gives the heads of a space.
func FeedsOf(r session.Reader, space string) ([]protocol.FeedHead, error) {
	heads, err := replica.Heads(r, space)
	list := make([]protocol.FeedHead, len(heads))
	for i, h := range heads {
		list[i] = protocol.FeedHead{Feed: h.Feed, Head: h.Head}
	}
	return list, err
}

// MendStart looks for damage among the records that a node reads when it starts
// and makes the first that it finds anew; it is called before [Adopt]. It
// returns the record's key, nil if all can be read: the caller commits and calls
// again. An error that wraps [session.ErrCorrupt] is damage that cannot be
// mended without other nodes: the node cannot start.
func MendStart(tx session.Tx) (key []byte, err error) {
	_, err = EdgeStart(tx)
	if err == nil {
		_, err = replica.Fenced(tx)
	}
	bad, ok := errors.AsType[*session.CorruptError](err)
	if !ok {
		return nil, err
	}
	if how, _ := remakingOf(bad.Key); how == ownAgain {
		return nil, err // not read above
	}
	_, err = Remake(tx, nil, Identity{}, bad.Key)
	return bad.Key, err
}
