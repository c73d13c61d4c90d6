package mistakes

import (
	"embed"
	"errors"
	"fmt"
	"io/fs"
	"path"
	"slices"
	"strings"
)

// MaxSeeds is within how many seeds each mistake must be caught.
const MaxSeeds = 2000

// Mistake is one way to get the shipping logic wrong.
type Mistake struct {
	Name     string // words with hyphens, unique
	Says     string // what is wrong then, in a sentence
	Area     string // the file of the list that it stands in, without extension
	Harmless bool   // a change that nobody may object to
	Missed   bool   // it is known that the simulator does not find it
	Edits    []Edit
}

// Edit replaces lines of a file.
//
// Invariant: Old and New are whole lines, each with its newline.
type Edit struct {
	File     string // in the module
	Old, New string
}

// errList says that the list of mistakes is wrong.
var errList = errors.New("mistakes: list")

//go:embed list/*.txt
var listed embed.FS

// harmless is the area of changes that are no mistakes, missed that of mistakes
// which are not found.
const (
	harmless = "harmless"
	missed   = "missed"
)

// All gives every mistake of the list, then those that are missed and then the
// harmless changes, in the order of the files. It returns an error for a list
// that makes no sense.
func All() ([]Mistake, error) {
	files, err := fs.Glob(listed, "list/*.txt")
	if err != nil {
		return nil, fmt.Errorf("mistakes: %w", err)
	}
	var all, unseen, allowed []Mistake
	seen := map[string]bool{}
	for _, file := range files {
		text, err := listed.ReadFile(file)
		if err != nil {
			return nil, fmt.Errorf("mistakes: %w", err)
		}
		area := strings.TrimSuffix(path.Base(file), ".txt")
		list, err := Parse(area, string(text))
		if err != nil {
			return nil, err
		}
		for _, m := range list {
			if seen[m.Name] {
				return nil, fmt.Errorf("%w: %s stands there twice", errList, m.Name)
			}
			seen[m.Name] = true
		}
		switch area {
		case harmless:
			allowed = list
		case missed:
			unseen = list
		default:
			all = append(all, list...)
		}
	}
	return slices.Concat(all, unseen, allowed), nil
}

// Parse reads a file of the list. A mistake is a block:
//
//	# name
//	A sentence, on one line or several.
//	@ path/to/file.go
//	 a line that stays, to find the place
//	-a line that goes
//	+a line that comes
//
// with as many places, each behind its "@", as it needs. Lines before the first
// block are for readers.
func Parse(area, text string) ([]Mistake, error) {
	var list []Mistake
	number := 0
	for line := range strings.Lines(text) {
		number++
		if name, ok := strings.CutPrefix(line, "# "); ok {
			list = append(list, Mistake{Name: strings.TrimSpace(name), Area: area,
				Harmless: area == harmless, Missed: area == missed})
			continue
		}
		if len(list) == 0 {
			continue
		}
		if err := list[len(list)-1].add(line); err != nil {
			return nil, fmt.Errorf("%w: %s.txt:%d: %w", errList, area, number, err)
		}
	}
	for i := range list {
		if err := list[i].validate(); err != nil {
			return nil, fmt.Errorf("%w: %s.txt: %s: %w", errList, area, list[i].Name, err)
		}
	}
	return list, nil
}

// add takes in one line of a block.
func (m *Mistake) add(line string) error {
	if file, ok := strings.CutPrefix(line, "@ "); ok {
		m.Edits = append(m.Edits, Edit{File: strings.TrimSpace(file)})
		return nil
	}
	text := strings.TrimSpace(line)
	if len(m.Edits) == 0 {
		m.Says = strings.TrimSpace(m.Says + " " + text)
		return nil
	}
	e := &m.Edits[len(m.Edits)-1]
	switch {
	case text == "":
	case line[0] == '-':
		e.Old += line[1:]
	case line[0] == '+':
		e.New += line[1:]
	case line[0] == ' ':
		e.Old += line[1:]
		e.New += line[1:]
	default:
		return fmt.Errorf("line begins with none of -, +, space, #, @: %q", text)
	}
	return nil
}

func (m *Mistake) validate() error {
	if strings.Trim(m.Name, "abcdefghijklmnopqrstuvwxyz0123456789-") != "" {
		return errors.New("a name has lower case letters, digits and hyphens")
	}
	if m.Says == "" || len(m.Edits) == 0 {
		return errors.New("a mistake needs a sentence and a place")
	}
	for _, e := range m.Edits {
		if e.Old == "" || e.Old == e.New || !fs.ValidPath(e.File) {
			return fmt.Errorf("nothing is changed in %q", e.File)
		}
	}
	return nil
}
