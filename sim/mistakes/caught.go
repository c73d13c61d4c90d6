package mistakes

import (
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
)

// CaughtFile is where it is written down, below the root of the module, how each
// mistake was caught.
const CaughtFile = "sim/mistakes/testdata/caught.txt"

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
	if err := os.WriteFile(filepath.Join(root, filepath.FromSlash(file)), []byte(b.String()), 0o644); err != nil {
		return fmt.Errorf("mistakes: %w", err)
	}
	return nil
}

// ReadCaught reads what [WriteCaught] wrote.
func ReadCaught(root, file string) ([]Catch, error) {
	text, err := os.ReadFile(filepath.Join(root, filepath.FromSlash(file)))
	if err != nil {
		return nil, fmt.Errorf("mistakes: %w", err)
	}
	var list []Catch
	number := 0
	for line := range strings.Lines(string(text)) {
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
