package replica

import (
	"encoding/binary"
	"fmt"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

var fencePrefix = []byte("z/fence/")

// KeepEvidence keeps an encoded frame whose content differs from what is held
// of its feed, and fences the feed's origin. What is held stays.
func KeepEvidence(tx session.Tx, f protocol.Feed, from vclock.Seq, frame []byte) error {
	if err := tx.Put(append(append([]byte{}, fencePrefix...), f.Origin...), nil); err != nil {
		return err
	}
	k := append([]byte("z/frame/"), f.Space...)
	k = append(append(k, 0), f.Origin...)
	return tx.Put(binary.BigEndian.AppendUint64(append(k, 0), uint64(from)), frame)
}

// Fenced lists the origins that were fenced, sorted.
func Fenced(r session.Reader) ([]vclock.Origin, error) {
	var origins []vclock.Origin
	for e, err := range r.Scan(fencePrefix, nil, false) {
		if err != nil {
			return nil, fmt.Errorf("fenced origins: %w", err)
		}
		origins = append(origins, vclock.Origin(e.Key[len(fencePrefix):]))
	}
	return origins, nil
}
