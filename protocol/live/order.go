package live

import (
	"cmp"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/protocol"
)

// What is gathered from maps is put in an order, so that it does not depend on theirs.

func compareRooms(a, b Room) int {
	return cmp.Or(cmp.Compare(a.Space, b.Space), cmp.Compare(a.Session, b.Session))
}

func sortRooms(list []Room) { slices.SortFunc(list, compareRooms) }

func sortSignals(list []Signal) {
	slices.SortFunc(list, func(a, b Signal) int {
		return cmp.Or(cmp.Compare(a.Space, b.Space), cmp.Compare(a.Session, b.Session), cmp.Compare(a.Kind, b.Kind),
			cmp.Compare(a.From, b.From), cmp.Compare(a.Stream, b.Stream))
	})
}

// leftOf is the time from at until an instant, at least none.
func leftOf(until, at protocol.Instant) time.Duration {
	return max(time.Duration(until-at).Truncate(time.Millisecond), 0)
}
