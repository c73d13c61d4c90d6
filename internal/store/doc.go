// Package store keeps a node's data on disk behind [session.Tx]. Badger does
// the storing; this package decides what may be believed of it.
//
// Contract with the caller:
//   - [Store.Update] returns nil only after the write is durable. Many callers
//     share one fsync: one goroutine, [Store.Run], owns all writes.
//   - A read gives the bytes that were written, or an error. Every value has an
//     envelope whose checksum covers its key, verified on every read.
//   - A store that lost acknowledged commits says so ([Store.Lost]): a file
//     beside Badger (the high-water file) remembers how far commits have come.
//   - A directory that was copied or restored says so ([Store.Identity]).
//   - Damage that Badger would skip, truncate or die of is looked for before
//     Badger is started; see probe.go. [Open] then returns a [*DamageError].
//   - After a failed fsync nothing is written any more ([ErrFailed]).
//
// HAZARD: tables are verified when the store is opened and by [Store.Scrub].
// If the disk changes a table while the store is open, Badger takes the keys of
// the damaged block for absent until the next scrub.
package store
