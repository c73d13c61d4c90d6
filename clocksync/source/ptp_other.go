//go:build !linux

package source

import "github.com/causeway-sync/causeway/clocksync"

func readPTP(string) (clocksync.Nanos, error) { return 0, ErrNoPTP }
