package sim

import "fmt"

// LeafPath gives the path of a leaf; some lie below others.
func LeafPath(target int) string {
	if target%4 == 3 {
		return fmt.Sprintf("/o/x%d", target)
	}
	return fmt.Sprintf("/l%d", target)
}

// PatchOf gives the merge patch that sets one leaf.
func PatchOf(path, value string) []byte {
	if path[1] == 'o' {
		return fmt.Appendf(nil, `{"o":{%q:%q}}`, path[3:], value)
	}
	return fmt.Appendf(nil, `{%q:%q}`, path[1:], value)
}
