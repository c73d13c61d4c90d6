package store

import (
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"path/filepath"
	"slices"
	"strconv"
	"strings"

	badger "github.com/dgraph-io/badger/v4"
)

// findings is what is known of the files before Badger is started.
type findings struct {
	damagedLog bool // the newest value log file is damaged within
}

// probe looks for damage in Badger's directory that Badger itself would not
// report. Badger v4.9.6
//   - leaves out a table whose checksum does not match, and goes on;
//   - exits the process over a damaged table footer;
//   - forgets tables, and deletes their files, when a length in the manifest is
//     damaged;
//   - cuts a write-ahead file off at the first damaged entry, although a later
//     file holds later commits;
//   - cuts the newest value log file off at the first damaged entry, although
//     the values behind it are good;
//   - does not open, once, when such a file is empty, as a kill leaves it between
//     making it and giving it its size, or between emptying and deleting it.
//
// What probe lets pass: a write-ahead file that is cut off at its end. The
// store is then as it was at an earlier commit, which the high-water file
// tells; and value log files, whose entries are verified one by one when read.
func probe(dir string, log *slog.Logger) (f findings, err error) {
	defer func() {
		if cause := recover(); cause != nil {
			err = damaged(dir, fmt.Errorf("reading panicked: %v", cause))
		}
	}()
	names, err := listed(dir)
	if err != nil || len(names) == 0 {
		return f, err
	}
	if names, err = dropEmpty(dir, names, log); err != nil {
		return f, err
	}
	durable, err := probeTables(dir, names, log)
	if err != nil {
		return f, err
	}
	if durable, err = probeMemtables(dir, names, durable); err != nil {
		return f, err
	}
	if f.damagedLog, err = probeValues(dir, names, durable, log); err != nil {
		return f, err
	}
	return f, errors.Join(probeDiscard(dir), probeRegistry(dir))
}

// dropEmpty removes write-ahead and value log files that are empty: nothing was
// written to them yet, or Badger was about to delete them, for which it empties
// them first. If one was cut off instead, a gap in the versions or the
// high-water file tells.
func dropEmpty(dir string, names []string, log *slog.Logger) ([]string, error) {
	var kept []string
	for _, name := range names {
		if ext := filepath.Ext(name); ext != ".mem" && ext != ".vlog" {
			kept = append(kept, name)
			continue
		}
		info, err := os.Stat(filepath.Join(dir, name))
		if err != nil {
			return nil, fmt.Errorf("examine %s: %w", name, err)
		}
		if info.Size() > 0 {
			kept = append(kept, name)
			continue
		}
		if err := os.Remove(filepath.Join(dir, name)); err != nil {
			return nil, fmt.Errorf("remove empty %s: %w", name, err)
		}
		log.Info("empty store file removed", slog.String("file", name))
	}
	return kept, nil
}

// listed gives the names in dir; none if there is no dir.
func listed(dir string) ([]string, error) {
	entries, err := os.ReadDir(dir)
	if errors.Is(err, os.ErrNotExist) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("list store files: %w", err)
	}
	var names []string
	for _, e := range entries {
		names = append(names, e.Name())
	}
	return names, nil
}

// probeTables verifies the manifest and every table that it names, and gives
// the highest version within.
func probeTables(dir string, names []string, log *slog.Logger) (version uint64, err error) {
	path := filepath.Join(dir, badger.ManifestFilename)
	if !slices.Contains(names, badger.ManifestFilename) {
		for _, name := range names {
			if ext := filepath.Ext(name); ext == ".sst" || ext == ".mem" || ext == ".vlog" {
				return 0, damaged(path, errors.New("the file is gone, others are there"))
			}
		}
		return 0, nil
	}
	manifest, err := readManifest(path, log)
	if err != nil {
		return 0, damaged(path, err)
	}
	for id, t := range manifest.Tables {
		table := filepath.Join(dir, fmt.Sprintf("%06d.sst", id))
		if t.KeyID != 0 || t.Compression != 0 {
			return 0, damaged(path, fmt.Errorf("table %d is encrypted or compressed", id))
		}
		newest, err := verifyTable(table)
		if err != nil {
			return 0, damaged(table, err)
		}
		version = max(version, newest)
	}
	return version, nil
}

// readManifest replays the manifest. A crash can tear its last record; a
// damaged length looks the same, but then some other length fits the checksum.
func readManifest(path string, log *slog.Logger) (badger.Manifest, error) {
	file, err := os.Open(path)
	if err != nil {
		return badger.Manifest{}, err
	}
	defer file.Close()
	o := badger.DefaultOptions("").WithLogger(&badgerLog{log: log})
	manifest, end, err := badger.ReplayManifestFile(file, o.ExternalMagicVersion, o)
	if err != nil {
		return badger.Manifest{}, err
	}
	if _, err := file.Seek(end, io.SeekStart); err != nil {
		return badger.Manifest{}, err
	}
	tail, err := io.ReadAll(file)
	if err != nil {
		return badger.Manifest{}, err
	}
	if !tornRecord(tail) {
		return badger.Manifest{}, errors.New("a record has the wrong length")
	}
	return manifest, nil
}

// probeMemtables checks that the write-ahead files follow one another without a
// gap, beginning at most one behind version. Each commit has the next version.
func probeMemtables(dir string, names []string, version uint64) (uint64, error) {
	ids, err := numbered(dir, names, ".mem")
	if err != nil {
		return 0, err
	}
	last := filepath.Join(dir, badger.ManifestFilename)
	for _, id := range ids {
		path := filepath.Join(dir, fmt.Sprintf("%05d.mem", id))
		end, err := walkFile(path)
		if err != nil {
			return 0, damaged(path, err)
		}
		if end.first > version+1 {
			return 0, damaged(last, fmt.Errorf("versions %d to %d are missing between it and %s",
				version+1, end.first-1, path))
		}
		version = max(version, end.last)
		last = path
	}
	return version, nil
}

// probeValues looks at the newest value log file, the only one that Badger cuts
// off. If good entries of durable commits lie behind a damaged one, it makes
// the next file, which Badger then takes for the newest.
func probeValues(dir string, names []string, durable uint64, log *slog.Logger) (bool, error) {
	ids, err := numbered(dir, names, ".vlog")
	if err != nil {
		return false, err
	}
	for _, id := range ids {
		path := valuePath(dir, id)
		if err := headerIsPlain(path); err != nil {
			return false, damaged(path, err)
		}
	}
	if len(ids) == 0 {
		return false, nil
	}
	newest := ids[len(ids)-1]
	path := valuePath(dir, newest)
	end, err := walkFile(path)
	if err != nil {
		return false, damaged(path, err)
	}
	if end.later == 0 || end.later > durable {
		return false, nil // whole, or torn within what was never acknowledged
	}
	log.Error("value log file is damaged; records in it will be refused", slog.String("file", path),
		slog.Int("offset", end.offset))
	next := valuePath(dir, newest+1)
	if err := os.WriteFile(next, make([]byte, logHeaderBytes), 0o600); err != nil {
		return true, fmt.Errorf("set damaged value log aside: %w", err)
	}
	return true, syncDir(dir)
}

// probeDiscard removes the statistics of the value log if Badger could choke on
// them; they only guide the collector.
func probeDiscard(dir string) error {
	path := filepath.Join(dir, discardFile)
	info, err := os.Stat(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("examine %s: %w", path, err)
	}
	if size := info.Size(); size >= 1<<20 && size%discardSlotBytes == 0 {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove damaged %s: %w", path, err)
	}
	return nil
}

// probeRegistry removes a damaged key registry. Nothing is encrypted, so that
// it holds no key; Badger makes a new one.
func probeRegistry(dir string) error {
	path := filepath.Join(dir, badger.KeyRegistryFileName)
	content, err := os.ReadFile(path)
	if errors.Is(err, os.ErrNotExist) {
		return nil
	}
	if err != nil {
		return fmt.Errorf("read key registry: %w", err)
	}
	if len(content) == registryBytes && strings.HasSuffix(string(content), registryText) {
		return nil
	}
	if err := os.Remove(path); err != nil {
		return fmt.Errorf("remove damaged key registry: %w", err)
	}
	return nil
}

func valuePath(dir string, id int) string {
	return filepath.Join(dir, fmt.Sprintf("%06d.vlog", id))
}

// numbered gives the numbers of the files with the extension, rising.
func numbered(dir string, names []string, ext string) ([]int, error) {
	var ids []int
	for _, name := range names {
		text, ok := strings.CutSuffix(name, ext)
		if !ok {
			continue
		}
		id, err := strconv.Atoi(text)
		if err != nil || id < 0 {
			return nil, damaged(filepath.Join(dir, name), errors.New("the name is not a number"))
		}
		ids = append(ids, id)
	}
	slices.Sort(ids)
	return ids, nil
}
