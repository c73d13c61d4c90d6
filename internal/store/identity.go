package store

import (
	"crypto/rand"
	"errors"
	"fmt"
	"hash/crc32"
	"os"
	"path/filepath"
	"strings"
	"sync"
)

// Identity says which incarnation of a store this is.
type Identity struct {
	ID    string // random; a new one after [Store.AdoptIdentity]
	Fresh bool   // the directory was empty
	// Moved is set if the directory was copied or restored: two nodes may now
	// have the same past, and this one must not write on under the old origin.
	Moved bool
}

// birthmark is what a copy of a file cannot have. ext4 uses inode numbers again,
// so the birth time counts too; it is zero where the file system has none.
type birthmark struct {
	inode   uint64
	seconds int64
	nanos   int64
}

// identity is the file that holds an ID and the file's own birthmark.
type identity struct {
	dir string

	mu  sync.Mutex // guards now
	now Identity
}

const identityFile = "identity"

// openIdentity reads the identity in dir; it makes one if dir has no store.
func openIdentity(dir string) (*identity, error) {
	i := &identity{dir: dir}
	path := filepath.Join(dir, identityFile)
	text, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		i.now.Moved = exists(filepath.Join(dir, "db")) || exists(filepath.Join(dir, "highwater"))
		i.now.Fresh = !i.now.Moved
		if i.now.ID, err = i.record(); err != nil {
			return nil, err
		}
		if i.now.Moved {
			// Stay moved until the node has acted, across restarts too.
			return i, i.disown()
		}
		return i, nil
	}
	if err != nil {
		return nil, fmt.Errorf("read identity: %w", err)
	}
	mark, err := markOf(path)
	if err != nil {
		return nil, fmt.Errorf("examine identity: %w", err)
	}
	id, recorded, ok := parseIdentity(string(text))
	i.now.ID = id
	// A damaged file proves nothing: a new epoch is always safe.
	i.now.Moved = !ok || recorded != mark
	return i, nil
}

func (i *identity) read() Identity {
	i.mu.Lock()
	defer i.mu.Unlock()
	return i.now
}

// adopt records a new ID with the file's birthmark.
func (i *identity) adopt() error {
	id, err := i.record()
	if err != nil {
		return err
	}
	i.mu.Lock()
	defer i.mu.Unlock()
	i.now = Identity{ID: id}
	return nil
}

// record writes a new identity file. The file is renamed into place, which
// keeps its inode and birth time.
func (i *identity) record() (id string, err error) {
	id = strings.ToLower(rand.Text())
	return id, i.replace(func(path string) (string, error) {
		mark, err := markOf(path)
		return formatIdentity(id, mark), err
	})
}

// disown leaves a file that names no birthmark, which counts as moved.
func (i *identity) disown() error {
	return i.replace(func(string) (string, error) { return formatIdentity(i.now.ID, birthmark{}), nil })
}

func (i *identity) replace(text func(path string) (string, error)) error {
	temp := filepath.Join(i.dir, identityFile+".new")
	if err := os.Remove(temp); err != nil && !errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("write identity: %w", err)
	}
	file, err := os.OpenFile(temp, os.O_WRONLY|os.O_CREATE|os.O_EXCL, 0o600)
	if err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	content, err := text(temp)
	if err == nil {
		_, err = file.WriteString(content)
	}
	if err = errors.Join(err, file.Sync(), file.Close()); err == nil {
		err = os.Rename(temp, filepath.Join(i.dir, identityFile))
	}
	if err = errors.Join(err, syncDir(i.dir)); err != nil {
		return fmt.Errorf("write identity: %w", err)
	}
	return nil
}

// Disguise makes a copied directory look like the one that it is a copy of, as a
// snapshot of a whole machine does: simulations use it to see what the core makes
// of such a clone. The store must not be open. It is an error if dir has no
// identity.
func Disguise(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, identityFile))
	if err != nil {
		return fmt.Errorf("read identity: %w", err)
	}
	id, _, ok := parseIdentity(string(text))
	if !ok {
		return fmt.Errorf("identity in %s is damaged", dir)
	}
	i := &identity{dir: dir}
	return i.replace(func(path string) (string, error) {
		mark, err := markOf(path)
		return formatIdentity(id, mark), err
	})
}

const identityHead = "causeway store identity 1"

func formatIdentity(id string, m birthmark) string {
	body := fmt.Sprintf("%s\nid %s\ninode %d\nborn %d.%09d\n", identityHead, id, m.inode, m.seconds, m.nanos)
	return fmt.Sprintf("%scrc %08x\n", body, crc32.Checksum([]byte(body), castagnoli))
}

// parseIdentity reads what formatIdentity wrote; ok is false for all else.
func parseIdentity(text string) (id string, m birthmark, ok bool) {
	var head string
	lines := strings.SplitN(text, "\n", 2)
	if head = lines[0]; head != identityHead || len(lines) < 2 {
		return "", birthmark{}, false
	}
	if _, err := fmt.Sscanf(lines[1], "id %s\ninode %d\nborn %d.%d\n", &id, &m.inode, &m.seconds, &m.nanos); err != nil {
		return "", birthmark{}, false
	}
	if formatIdentity(id, m) != text {
		return "", birthmark{}, false
	}
	return id, m, true
}

func exists(path string) bool {
	_, err := os.Lstat(path)
	return err == nil
}

// syncDir makes names in dir durable.
func syncDir(dir string) error {
	d, err := os.Open(dir)
	if err != nil {
		return err
	}
	return errors.Join(d.Sync(), d.Close())
}
