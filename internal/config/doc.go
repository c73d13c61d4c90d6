// Package config reads configuration: one YAML file into a struct, strictly,
// and the same keys as command line flags. It knows no configuration itself;
// the shells define theirs and their defaults.
//
// Everything that is wrong is reported at once, each fault as a [FieldError]
// that names the file, the line and the key. An unknown key is a fault and
// names the nearest known one. Keys absent from the file keep the value that
// the struct had, which is how defaults work.
package config
