// Package purity keeps the packages that decide apart from the packages that
// do. [Check] reads the source of a pure package and fails its test for IO,
// goroutines, locks and clocks; [CheckDirection] reads the imports of the
// whole module and fails for one that points up.
//
// What counts is what the source itself imports and calls: fmt is fine, though
// it links os.
package purity
