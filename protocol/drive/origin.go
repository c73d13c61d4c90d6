package drive

import (
	"errors"
	"fmt"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

var (
	originKey  = []byte("n/origin")
	clusterKey = []byte("n/cluster")
)

// ErrWrongNode says that the data directory belongs to another node or cluster.
var ErrWrongNode = errors.New("data directory belongs to another node")

// Identity is who a node is. Epoch gives the random part of a new origin: 8
// characters of base 32, lower case, 40 bits. They tell apart the incarnations
// of one node, also those that never heard of each other.
type Identity struct {
	Node    string
	Cluster string
	Epoch   func() (string, error)
}

// Adopt reads the origin of the store, or takes a new one when there is none,
// when its record is damaged, or when renew is set. It returns ErrWrongNode for
// a store of another node or cluster, with nothing written. If the record of the
// cluster is damaged, the configuration is believed.
func Adopt(tx session.Tx, id Identity, renew bool) (vclock.Origin, error) {
	held, damaged, err := readOwn(tx, clusterKey)
	if err != nil {
		return "", err
	}
	renew = renew || damaged
	if held != nil && string(held) != id.Cluster {
		return "", fmt.Errorf("%w: it is of cluster %q, the configuration says %q", ErrWrongNode, held, id.Cluster)
	}
	old, _, err := readOwn(tx, originKey)
	if err != nil {
		return "", err
	}
	if old != nil && protocol.NodeOf(vclock.Origin(old)) != id.Node {
		return "", fmt.Errorf("%w: it is of node %q, the configuration says %q",
			ErrWrongNode, protocol.NodeOf(vclock.Origin(old)), id.Node)
	}
	if old != nil && !renew {
		return vclock.Origin(old), nil
	}
	epoch, err := id.Epoch()
	if err != nil {
		return "", fmt.Errorf("new origin: %w", err)
	}
	o := vclock.Origin(id.Node + "~" + epoch)
	if err := tx.Put(clusterKey, []byte(id.Cluster)); err != nil {
		return "", err
	}
	return o, tx.Put(originKey, []byte(o))
}

// readOwn reads one of the node's own records; nil if it is damaged.
func readOwn(r session.Reader, key []byte) (value []byte, damaged bool, err error) {
	value, err = r.Get(key)
	damage, err := apart(err)
	return value, damage != nil, err
}

// Renew takes a new origin under which rep writes from now on. The edge half is
// told with NewOrigin after the commit.
func Renew(tx session.Tx, rep *replica.Replica, id Identity) (vclock.Origin, error) {
	origin, err := Adopt(tx, id, true)
	if err == nil {
		rep.Renew(origin)
	}
	return origin, err
}

// Reissued is what became of a feed of our own that forked.
type Reissued struct {
	Cut    []protocol.FeedHead // where it ends now, and others of our own whose ops depended on what moved
	Grown  protocol.FeedHead   // the feed of a new origin, with what was made again; empty: nothing was
	Origin vclock.Origin       // under which the node writes from now on
}

// Reissue makes the ops behind number after of a feed of our own, which collide
// with the core's, again under a new origin; see [replica.Replica.Reissue]. Known
// is what [protocol.Edge.Known] says of our feeds. The
// origin is taken in the same transaction, so that nothing is written in
// between that depends on what moves. What was made again may wait for what the
// core holds in place of the old; then the node goes on under one more origin:
// of one origin a session takes no earlier op after a later one. After the
// commit: [Moved.Reset] each feed to its Cut, then note Grown, then give the machine
// what [Reissued.Inputs] says.
func Reissue(tx session.Tx, rep *replica.Replica, now replica.Now, id Identity, f protocol.Feed, after vclock.Seq,
	known func(protocol.Feed) vclock.Seq,
) (Reissued, error) {
	if err := leave(tx, rep, id, f); err != nil {
		return Reissued{}, err
	}
	cut, err := rep.Reissue(tx, now, f, after, known)
	done := Reissued{Cut: cut, Origin: rep.Origin()}
	if err != nil || len(cut) == 0 {
		return done, err
	}
	done.Grown.Feed = protocol.Feed{Space: f.Space, Origin: rep.Origin()}
	if done.Grown.Head, err = replica.HeadOf(tx, done.Grown.Feed); err != nil {
		return done, err
	}
	waits, err := replica.Waits(tx, done.Grown.Feed)
	if err == nil && waits {
		done.Origin, err = Renew(tx, rep, id)
	}
	return done, err
}

// leave takes a new origin unless the store keeps another one than that of f,
// under which nothing was written in the space; a transaction that runs again
// does it again. If it fails in the end, the replica writes under an origin that
// is not kept and so never used by a later run: numbers stay unique.
func leave(tx session.Tx, rep *replica.Replica, id Identity, f protocol.Feed) error {
	kept, damaged, err := readOwn(tx, originKey)
	if err != nil {
		return err
	}
	head, err := replica.HeadOf(tx, protocol.Feed{Space: f.Space, Origin: vclock.Origin(kept)})
	if err != nil || head.Seq == 0 && !damaged && vclock.Origin(kept) != f.Origin {
		return err
	}
	_, err = Renew(tx, rep, id)
	return err
}

// Inputs gives what the machine is told of a reissue, when the node wrote under
// the origin before until then.
func (r Reissued) Inputs(before vclock.Origin) []protocol.EdgeInput {
	var list []protocol.EdgeInput
	last := before
	for _, o := range []vclock.Origin{r.Grown.Origin, r.Origin} { // in the order in which the node wrote under them
		if o != "" && o != last {
			list = append(list, protocol.NewOrigin{Origin: o})
			last = o
		}
	}
	for _, cut := range r.Cut {
		list = append(list, protocol.Replaced(cut))
	}
	return list
}

// Opening is what the store found out about itself when it was opened.
type Opening struct {
	Lost        bool   // acknowledged commits may be gone
	Unconfirmed bool   // with Lost: the high-water file is unusable, so that this is not known
	Committed   uint64 // with Lost: the last commit that was acknowledged
	Found       uint64 // with Lost: the last commit that is there
	Moved       bool   // the data directory is a copy or was restored
}

// Doubt gives why the node may not go on writing under the origin that the store
// keeps: numbers could be used twice. The zero Problem says that it may. Why is
// the short form, for the log.
func (o Opening) Doubt() (p Problem, why string) {
	switch {
	case o.Lost && o.Unconfirmed:
		why = "the high-water file is missing or damaged"
		return Problem{"high_water_unusable", why + ": whether commits were lost is not known"}, why
	case o.Lost:
		return Problem{"store_lost_commits", fmt.Sprintf(
			"the store held %d commits at start, %d had been acknowledged; what the core has is fetched again",
			o.Found, o.Committed)}, "the store lost acknowledged commits"
	case o.Moved:
		why = "the data directory is a copy or was restored"
		return Problem{"store_moved", why}, why
	default:
		return Problem{}, ""
	}
}
