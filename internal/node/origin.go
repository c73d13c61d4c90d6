package node

import (
	"crypto/rand"
	"encoding/base32"
	"encoding/hex"
	"fmt"
	"strings"

	"github.com/causeway-sync/causeway/protocol/drive"
)

// ErrWrongNode says that the data directory belongs to another node or cluster.
var ErrWrongNode = drive.ErrWrongNode

// identity is who the node is, for new origins.
func (n *Node) identity() drive.Identity {
	return drive.Identity{Node: n.cfg.Name, Cluster: n.cfg.Cluster, Epoch: newEpoch}
}

// newEpoch gives the random part of a new origin.
func newEpoch() (string, error) {
	var b [5]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", err
	}
	return strings.ToLower(base32.StdEncoding.EncodeToString(b[:])), nil
}

// NewInstance names this start of the process, so that clones are told apart.
func NewInstance() (string, error) {
	var b [8]byte
	if _, err := rand.Read(b[:]); err != nil {
		return "", fmt.Errorf("name this start of the process: %w", err)
	}
	return hex.EncodeToString(b[:]), nil
}
