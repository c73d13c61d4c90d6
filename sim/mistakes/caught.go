package mistakes

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// CaughtFile is where it is written down, below the root of the module, how each
// mistake was caught; DocsFile has the table for people.
const (
	CaughtFile = "sim/mistakes/testdata/caught.txt"
	DocsFile   = "docs/SIMULATION.md"
)

const caughtHead = `# How each seeded mistake is caught: its name, how many seeds that needed, seeds
# that catch it, and the check that did. Written by "make mistakes".
`

// WriteCaught writes down how mistakes were caught, in the order given.
func WriteCaught(root, file string, list []Catch) error {
	var b strings.Builder
	b.WriteString(caughtHead)
	for _, c := range list {
		seeds := make([]string, len(c.Seeds))
		for i, s := range c.Seeds {
			seeds[i] = strconv.FormatUint(s, 10)
		}
		fmt.Fprintf(&b, "%s %d %s %s\n", c.Mistake, c.Needed, strings.Join(seeds, ","), c.Check)
	}
	return write(root, file, b.String())
}

func write(root, file, text string) error {
	if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(file)), []byte(text), 0o644); err != nil {
		return fmt.Errorf("mistakes: %w", err)
	}
	return nil
}

func read(root, file string) (string, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
	if err != nil {
		return "", fmt.Errorf("mistakes: %w", err)
	}
	return string(text), nil
}

// ReadCaught reads what [WriteCaught] wrote.
func ReadCaught(root, file string) ([]Catch, error) {
	text, err := read(root, file)
	if err != nil {
		return nil, err
	}
	var list []Catch
	number := 0
	for line := range strings.Lines(text) {
		number++
		if line = strings.TrimSpace(line); line == "" || line[0] == '#' {
			continue
		}
		c, err := parseCatch(line)
		if err != nil {
			return nil, fmt.Errorf("mistakes: %s:%d: %w", file, number, err)
		}
		list = append(list, c)
	}
	return list, nil
}

func parseCatch(line string) (Catch, error) {
	parts := strings.SplitN(line, " ", 4)
	if len(parts) != 4 {
		return Catch{}, fmt.Errorf("%w: want name, number, seeds and check: %q", errList, line)
	}
	c := Catch{Mistake: parts[0], Check: parts[3]}
	var err error
	if c.Needed, err = strconv.ParseUint(parts[1], 10, 64); err != nil {
		return Catch{}, err
	}
	for s := range strings.SplitSeq(parts[2], ",") {
		seed, err := strconv.ParseUint(s, 10, 64)
		if err != nil {
			return Catch{}, err
		}
		c.Seeds = append(c.Seeds, seed)
	}
	return c, nil
}

// The table in the docs stands between these lines.
const (
	tableBegin = "<!-- seeded mistakes: written by make mistakes -->\n"
	tableEnd   = "<!-- end of seeded mistakes -->\n"
)

// WriteTable puts the table of mistakes into the docs, in place of the one there.
func WriteTable(root, file string, list []Mistake, caught []Catch) error {
	text, err := read(root, file)
	if err != nil {
		return err
	}
	front, rest, ok := strings.Cut(text, tableBegin)
	_, back, ok2 := strings.Cut(rest, tableEnd)
	if !ok || !ok2 {
		return fmt.Errorf("%w: %s has no place for the table", errList, file)
	}
	return write(root, file, front+tableBegin+Table(list, caught)+tableEnd+back)
}

// Table is the table of mistakes for people, in Markdown.
func Table(list []Mistake, caught []Catch) string {
	by := map[string]Catch{}
	for _, c := range caught {
		by[c.Mistake] = c
	}
	var b strings.Builder
	b.WriteString("| mistake | what is wrong then | seeds | caught by |\n|---|---|---|---|\n")
	for _, m := range list {
		if c, ok := by[m.Name]; ok && !m.Harmless {
			fmt.Fprintf(&b, "| %s | %s | %d | %s |\n", m.Name, m.Says, c.Needed, c.Check)
		}
	}
	return b.String()
}
