package session

import (
	"cmp"
	"encoding/base64"
	"encoding/binary"
	"fmt"
	"iter"
	"slices"
	"strings"

	"github.com/causeway-sync/causeway/clocksync"
)

// place is where a session stands in the list: by latest activity, newest
// first, then by name.
type place struct {
	updated clocksync.Stamp
	session string
	m       *meta
}

func (p place) compare(q place) int {
	return cmp.Or(q.updated.Compare(p.updated), cmp.Compare(p.session, q.session))
}

func (p place) token() string {
	b := binary.BigEndian.AppendUint64(nil, p.updated.Wall<<16|uint64(p.updated.Logical))
	return base64.RawURLEncoding.EncodeToString(append(b, p.session...))
}

var errToken = fmt.Errorf("token of a page: %w", ErrInvalid)

func parsePlace(token string) (place, error) {
	if token == "" {
		return place{}, nil
	}
	b, err := base64.RawURLEncoding.DecodeString(token)
	if err != nil || len(b) < 9 || !ValidName(string(b[8:])) {
		return place{}, errToken
	}
	n := binary.BigEndian.Uint64(b)
	return place{updated: clocksync.Stamp{Wall: n >> 16, Logical: uint16(n)}, session: string(b[8:])}, nil
}

// buckets yields the sessions of a space bucket by bucket, from the one that
// after stands in (all, if that is zero), each sorted. No scan is open while
// the caller has the bucket.
func buckets(r Reader, space string, after place) iter.Seq2[[]place, error] {
	return func(yield func([]place, error) bool) {
		var from []byte
		if after.session != "" {
			from = activityKey(space, bucketOf(after.updated), "")
		}
		for {
			bucket, next, err := bucketAt(r, space, from)
			if err != nil {
				yield(nil, err)
				return
			}
			if len(bucket) > 0 && !yield(bucket, nil) {
				return
			}
			if next == nil {
				return
			}
			from = next
		}
	}
}

// bucketAt reads the first bucket from a key on, and the key where the next
// one begins, nil if there is none.
func bucketAt(r Reader, space string, from []byte) (bucket []place, next []byte, err error) {
	var first uint64
	var names []string
	for e, err := range r.Scan(activityPrefix(space), from, false) {
		if err != nil {
			return nil, nil, fmt.Errorf("scan activity: %w", err)
		}
		n, session, err := parseActivityKey(space, e.Key)
		if err != nil {
			return nil, nil, err
		}
		if len(names) == 0 {
			first = n
		}
		if n != first {
			next = e.Key
			break
		}
		names = append(names, session)
	}
	for _, name := range names {
		m, err := metaAt(r, space, name)
		if err != nil {
			return nil, nil, err
		}
		if m == nil || !m.visible() {
			return nil, nil, missing(metaKey(space, name))
		}
		bucket = append(bucket, place{updated: m.updated, session: name, m: m})
	}
	slices.SortFunc(bucket, place.compare)
	return bucket, next, nil
}

// cutLabel splits "key=value" at the first equals sign.
func cutLabel(s string) (key, value string) {
	key, value, _ = strings.Cut(s, "=")
	return key, value
}
