package store

import "errors"

// Queued gives the number of requests that wait, for tests that need a group.
func (s *Store) Queued() int { return len(s.queue) }

// BreakNextCommit does what Badger does when the value log cannot be synced: it
// logs the error.
func (s *Store) BreakNextCommit() {
	(&badgerLog{log: s.log, onSyncError: s.syncFailed}).Errorf(syncErrorPrefix+": %v\n", errors.New("injected"))
}

// BreakHighwater closes the high-water file under the store.
func (s *Store) BreakHighwater() { _ = s.high.file.Close() }
