// Package lifecycle runs the long-lived parts of a node together: when one
// ends, all end, and nobody leaves before the last.
package lifecycle
