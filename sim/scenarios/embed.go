// Package scenarios holds the scenarios that ship. Each begins with a sentence
// of what it shows. Package scenario reads them.
package scenarios

import "embed"

// Files has one file for each scenario, and the Chaos Mesh documents that some
// of them name, below chaos.
//
//go:embed *.yaml chaos/*.yaml
var Files embed.FS
