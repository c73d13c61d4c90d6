package session

import "github.com/causeway-sync/causeway/vclock"

// SlotOf finds the slot of an applied op in its session's log; 0 if the log
// does not hold it. It reads the log from its end: for repair, not for views.
func SlotOf(r Reader, space, session string, dot vclock.Dot) (uint64, error) {
	m, err := metaAt(r, space, session)
	if err != nil || m == nil {
		return 0, err
	}
	for slot := m.slots; slot > m.purged; slot-- {
		e, err := entryAt(r, space, session, slot)
		if err != nil {
			return 0, err
		}
		if e.dot == dot {
			return slot, nil
		}
	}
	return 0, nil
}
