package store_test

import (
	"bytes"
	"io/fs"
	"maps"
	"os"
	"path/filepath"
	"slices"
	"testing"
)

// image is a store's directory in memory, without the zeros at the files' ends.
type image map[string]imageFile

type imageFile struct {
	content []byte
	size    int64
}

func readImage(t testing.TB, dir string) image {
	t.Helper()
	im := image{}
	err := filepath.WalkDir(dir, func(path string, e fs.DirEntry, err error) error {
		if err != nil || e.IsDir() {
			return err
		}
		content, err := os.ReadFile(path)
		if err != nil {
			return err
		}
		name, err := filepath.Rel(dir, path)
		im[name] = imageFile{content: bytes.Clone(bytes.TrimRight(content, "\x00")), size: int64(len(content))}
		return err
	})
	if err != nil {
		t.Fatal(err)
	}
	return im
}

func (im image) names() []string { return slices.Sorted(maps.Keys(im)) }

func (im image) write(t testing.TB, dir string) {
	t.Helper()
	for name, f := range im {
		path := filepath.Join(dir, name)
		if err := os.MkdirAll(filepath.Dir(path), 0o700); err != nil {
			t.Fatal(err)
		}
		if err := os.WriteFile(path, f.content, 0o600); err != nil {
			t.Fatal(err)
		}
		if err := os.Truncate(path, f.size); err != nil {
			t.Fatal(err)
		}
	}
}

// with returns a copy in which the named file is another.
func (im image) with(name string, f imageFile) image {
	c := maps.Clone(im)
	c[name] = f
	return c
}
