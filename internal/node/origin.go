package node

import (
	"crypto/rand"
	"encoding/base32"
	"errors"
	"fmt"
	"strings"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

var (
	originKey  = []byte("n/origin")
	clusterKey = []byte("n/cluster")
)

// ErrWrongNode says that the data directory belongs to another node or cluster.
var ErrWrongNode = errors.New("data directory belongs to another node")

// newOrigin names a new incarnation of a node. 40 random bits tell apart the
// incarnations of one node, also those that never heard of each other.
func newOrigin(node string) (vclock.Origin, error) {
	var b [5]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("new origin: %w", err)
	}
	epoch := strings.ToLower(base32.StdEncoding.EncodeToString(b[:]))
	return vclock.Origin(node + "~" + epoch), nil
}

// adopt reads the origin of the store, or takes a new one when there is none
// or renew is set. It refuses a store of another node or cluster.
func adopt(tx session.Tx, node, cluster string, renew bool) (vclock.Origin, error) {
	held, err := tx.Get(clusterKey)
	if err != nil {
		return "", err
	}
	if held != nil && string(held) != cluster {
		return "", fmt.Errorf("%w: it is of cluster %q, the configuration says %q", ErrWrongNode, held, cluster)
	}
	old, err := tx.Get(originKey)
	if err != nil {
		return "", err
	}
	if old != nil && protocol.NodeOf(vclock.Origin(old)) != node {
		return "", fmt.Errorf("%w: it is of node %q, the configuration says %q",
			ErrWrongNode, protocol.NodeOf(vclock.Origin(old)), node)
	}
	if old != nil && !renew {
		return vclock.Origin(old), nil
	}
	o, err := newOrigin(node)
	if err != nil {
		return "", err
	}
	if err := tx.Put(clusterKey, []byte(cluster)); err != nil {
		return "", err
	}
	return o, tx.Put(originKey, []byte(o))
}
