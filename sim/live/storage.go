package live

import (
	"bytes"
	"errors"
	"fmt"
	"io"
	"io/fs"
	"math/rand/v2"
	"os"
	"path/filepath"
	"strings"

	"github.com/causeway-sync/causeway/internal/store"
)

// copyBlock is how much is copied at a time. Blocks of zeros stay holes: the
// files of a store are mostly holes.
const copyBlock = 64 << 10

// copyDir copies a directory that nobody writes to: its node has ended or is
// frozen. skip leaves files and directories of a name out.
func copyDir(from, to string, skip ...string) error {
	err := filepath.WalkDir(from, func(path string, d fs.DirEntry, err error) error {
		if err != nil {
			return err
		}
		rel, err := filepath.Rel(from, path)
		if err != nil {
			return err
		}
		for _, name := range skip {
			if rel == name && d.IsDir() {
				return filepath.SkipDir
			} else if rel == name {
				return nil
			}
		}
		target := filepath.Join(to, rel)
		if d.IsDir() {
			return os.MkdirAll(target, 0o700)
		}
		return copyFile(path, target)
	})
	if err != nil {
		return fmt.Errorf("copy %s: %w", filepath.Base(from), err)
	}
	return nil
}

func copyFile(from, to string) (err error) {
	in, err := os.Open(from)
	if err != nil {
		return err
	}
	defer in.Close()
	out, err := os.OpenFile(to, os.O_CREATE|os.O_TRUNC|os.O_WRONLY, 0o600)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, out.Close()) }()
	block, size := make([]byte, copyBlock), int64(0)
	for {
		n, err := io.ReadFull(in, block)
		if n > 0 && len(bytes.Trim(block[:n], "\x00")) > 0 {
			if _, err := out.WriteAt(block[:n], size); err != nil {
				return err
			}
		}
		size += int64(n)
		if errors.Is(err, io.EOF) || errors.Is(err, io.ErrUnexpectedEOF) {
			return out.Truncate(size)
		}
		if err != nil {
			return err
		}
	}
}

// Files of a store that say which incarnation it is, and how far it had got.
const (
	identityFile  = "identity"
	highWaterFile = "highwater"
	lockFile      = "lock"
	databaseDir   = "db"
	streamsDir    = "streams"
)

// snapshot copies a node's store as it is at one moment: its process is frozen
// for that long. What it has written without fsync is there too.
func (m *member) snapshot(to string) (err error) {
	m.life.Lock()
	defer m.life.Unlock()
	if c, paused := m.process(); c != nil && !paused {
		if err := m.freeze(); err != nil {
			return err
		}
		defer func() { err = errors.Join(err, m.resume()) }()
	}
	return copyDir(m.store(), to, streamsDir, lockFile)
}

// putBack replaces the store by a copy of it. Callers hold life; the node has
// ended. A silent copy cannot know that it is one; one that lost commits keeps all
// of the present but the database.
func (m *member) putBack(copied string, silent, lost bool) error {
	dir := m.store()
	if lost {
		return errors.Join(removeAll(filepath.Join(dir, databaseDir)),
			copyDir(filepath.Join(copied, databaseDir), filepath.Join(dir, databaseDir)))
	}
	for _, name := range []string{databaseDir, highWaterFile, lockFile, identityFile} {
		if err := removeAll(filepath.Join(dir, name)); err != nil {
			return err
		}
	}
	return putCopy(copied, dir, silent)
}

// putCopy puts a copy of a store in a place where there is none.
func putCopy(copied, dir string, silent bool) error {
	if err := copyDir(copied, dir); err != nil || !silent {
		return err
	}
	return store.Disguise(dir)
}

// wipe removes the store; the streams of a core node are another matter.
func (m *member) wipe() error { return removeAll(m.store()) }

// flip flips one bit in a file of the node: in its streams for class "stream" at
// a core node, else in its store. It tells where.
func (m *member) flip(class string, rng *rand.Rand) (where string, err error) {
	root := m.store()
	if class == "stream" && m.plan.Core {
		root = m.streams()
	}
	type place struct {
		file string
		at   int64
	}
	var places []place
	err = filepath.WalkDir(root, func(path string, d fs.DirEntry, err error) error {
		if err != nil || d.IsDir() || d.Name() == lockFile || d.Name() == "LOCK" {
			return err
		}
		text, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		if used := len(bytes.TrimRight(text, "\x00")); used > 0 {
			places = append(places, place{path, rng.Int64N(int64(used))})
		}
		return nil
	})
	if err != nil || len(places) == 0 {
		return "", err
	}
	p := places[rng.IntN(len(places))]
	return fmt.Sprintf("byte %d of %s", p.at, strings.TrimPrefix(p.file, m.dir+"/")), flipAt(p.file, p.at, 1<<rng.IntN(8))
}

func flipAt(path string, at int64, mask byte) (err error) {
	file, err := os.OpenFile(path, os.O_RDWR, 0)
	if err != nil {
		return err
	}
	defer func() { err = errors.Join(err, file.Close()) }()
	var b [1]byte
	if _, err := file.ReadAt(b[:], at); err != nil {
		return err
	}
	b[0] ^= mask
	_, err = file.WriteAt(b[:], at)
	return err
}
