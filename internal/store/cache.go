package store

// Bounds of the cache.
const (
	cacheEdgeBytes  = 2 << 20
	cacheCoreBytes  = 16 << 20
	cacheEntryBytes = 96      // what an entry costs beside its bytes
	cacheValueMax   = 8 << 10 // bigger values are not kept
)

// cache keeps small records that transactions have read, so that the heads of
// live sessions and feeds are not looked up in Badger for every op. It belongs
// to the committer, which makes all writes; what it holds is what the last
// commit left. A record that is read for the first time is verified by Badger's
// reader; one that is only written does not get in.
//
// It has two generations: a full young one becomes the old one, whose entries
// come back when they are used.
type cache struct {
	young, old map[string][]byte // nil: the key is known to be absent
	bytes      int               // in young
	limit      int               // of one generation
}

func newCache(p Profile) *cache {
	limit := cacheEdgeBytes
	if p == CoreProfile {
		limit = cacheCoreBytes
	}
	return &cache{young: make(map[string][]byte), limit: limit / 2}
}

// find gives a value that the caller must not change.
func (c *cache) find(key []byte) (value []byte, ok bool) {
	if value, ok = c.young[string(key)]; ok {
		return value, true
	}
	if value, ok = c.old[string(key)]; ok {
		delete(c.old, string(key))
		c.keep(string(key), value)
	}
	return value, ok
}

// keep takes value over; nil stands for absence.
func (c *cache) keep(key string, value []byte) {
	if len(value) > cacheValueMax {
		return
	}
	if c.bytes += len(key) + len(value) + cacheEntryBytes; c.bytes > c.limit {
		c.old, c.young = c.young, make(map[string][]byte)
		c.bytes = len(key) + len(value) + cacheEntryBytes
	}
	c.young[key] = value
}

// written replaces the value of a key that is held. It takes value over.
func (c *cache) written(key, value []byte) {
	if before, ok := c.young[string(key)]; ok {
		if len(value) > cacheValueMax {
			c.bytes -= len(key) + len(before) + cacheEntryBytes
			delete(c.young, string(key))
			return
		}
		c.bytes += len(value) - len(before)
		c.young[string(key)] = value
		return
	}
	if _, ok := c.old[string(key)]; ok {
		delete(c.old, string(key))
		c.keep(string(key), value)
	}
}

// cached is the reader of the committer's transactions.
type cached struct {
	reader
	cache *cache
}

// Get is described at [session.Reader].
func (r cached) Get(key []byte) ([]byte, error) {
	value, ok := r.cache.find(key)
	if !ok {
		var err error
		if value, err = r.reader.Get(key); err != nil {
			return nil, err
		}
		r.cache.keep(string(key), value)
	}
	if value == nil {
		return nil, nil
	}
	return append(make([]byte, 0, len(value)), value...), nil
}
