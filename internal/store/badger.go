package store

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"

	badger "github.com/dgraph-io/badger/v4"
	"github.com/dgraph-io/badger/v4/options"
)

// badgerOptions gives the settings of the store's profile. Common to both:
// blocks are not compressed, so that they are read in place from the page cache
// and need no block cache; payloads above the threshold lie in the value log,
// because rewriting them in compactions would cost memory and time.
func badgerOptions(s *Store, dir string) badger.Options {
	o := badger.DefaultOptions(dir)
	o.Logger = &badgerLog{log: s.log, onSyncError: s.syncFailed}
	o.SyncWrites = true
	o.DetectConflicts = false
	o.CompactL0OnClose = true
	o.VerifyValueChecksum = true
	// The tables as a whole have been verified by probe.
	o.ChecksumVerificationMode = options.OnBlockRead
	o.Compression = options.None
	o.BlockCacheSize = 0
	o.IndexCacheSize = 0
	o.MetricsEnabled = false
	o.NumVersionsToKeep = 1
	o.NumCompactors = 2
	o.NumGoroutines = 1
	if s.opt.Profile == CoreProfile {
		o.MemTableSize = 32 << 20
		o.NumMemtables = 3
		o.ValueThreshold = 1 << 10
		o.ValueLogFileSize = 256 << 20
		return o
	}
	o.MemTableSize = 4 << 20
	o.NumMemtables = 2
	o.NumLevelZeroTables = 2
	o.NumLevelZeroTablesStall = 6
	o.BaseTableSize = 1 << 20
	o.BaseLevelSize = 8 << 20
	o.ValueThreshold = 256
	o.ValueLogFileSize = 32 << 20
	return o
}

// openBadger opens Badger; it turns a panic of Badger into an error.
func openBadger(o badger.Options) (db *badger.DB, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			db, err = nil, damaged(o.Dir, fmt.Errorf("badger panicked: %v", cause))
		}
	}()
	db, err = badger.Open(o)
	if err != nil {
		return nil, damaged(fileIn(err.Error(), o.Dir), fmt.Errorf("open badger: %w", err))
	}
	return db, nil
}

// closeBadger closes db; it turns a panic of Badger into an error.
func closeBadger(db *badger.DB) (err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = fmt.Errorf("close badger: panicked: %v", cause)
		}
	}()
	if err := db.Close(); err != nil {
		return fmt.Errorf("close badger: %w", err)
	}
	return nil
}

// limitsOf leaves room for the commit record and for Badger's own end mark.
func limitsOf(db *badger.DB) limits {
	const spareEntries, spareBytes = 16, 4096
	// Badger counts 12 bytes more an entry than keys and values have.
	const entryBytes = 12
	entries := int(db.MaxBatchCount()) - spareEntries
	return limits{
		entries:    entries,
		entryBytes: entryBytes,
		inline:     int(db.MaxBatchSize()) - spareBytes,
		threshold:  int(db.Opts().ValueThreshold),
	}
}

func damaged(file string, err error) *DamageError {
	return &DamageError{File: file, Err: err, Hint: damageHint}
}

// fileIn finds the path below dir that Badger's message names, or gives dir.
func fileIn(message, dir string) string {
	at := strings.Index(message, dir)
	if at < 0 {
		return dir
	}
	path := message[at:]
	if end := strings.IndexAny(path, "\"\n ,"); end > 0 {
		path = path[:end]
	}
	return strings.TrimRight(path, ":.")
}

// badgerLog hands Badger's messages on, one level down: Badger's Info is our
// Debug. It also catches the one error that Badger logs and does not return:
// a failed sync of the value log.
type badgerLog struct {
	log         *slog.Logger
	onSyncError func(error)
}

const syncErrorPrefix = "Error while curlf sync"

func (l *badgerLog) Errorf(format string, args ...any) {
	text := strings.TrimSpace(fmt.Sprintf(format, args...))
	if strings.HasPrefix(text, syncErrorPrefix) {
		l.onSyncError(errors.New(text))
	}
	l.log.Error("badger", slog.String("message", text))
}

func (l *badgerLog) Warningf(format string, args ...any) {
	l.log.Warn("badger", slog.String("message", strings.TrimSpace(fmt.Sprintf(format, args...))))
}

func (l *badgerLog) Infof(format string, args ...any) {
	l.log.Debug("badger", slog.String("message", strings.TrimSpace(fmt.Sprintf(format, args...))))
}

// Debugf drops what is of use to Badger's authors only.
func (l *badgerLog) Debugf(string, ...any) {}
