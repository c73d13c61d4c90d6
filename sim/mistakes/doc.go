// Package mistakes tests the simulator: does it find what it is there to find?
//
// Each seeded mistake changes a few lines of a copy of the shipping logic, as
// somebody could who writes it anew: an fsync that is left out, a receipt that
// claims one op too many, a tombstone that is forgotten. The simulator has to
// catch each within [MaxSeeds] seeds. The files in list say what each mistake
// is; shipped files are never changed. Harmless changes stand beside them: they
// alter what happens when, which is allowed, and must not be caught.
//
// All mistakes are woven into one build (go build -overlay): a function that
// some mistake changes begins with the question whether that mistake is chosen,
// and goes on in its changed copy. So all of them cost one build, and the one
// that runs is named in the environment. With none chosen the build behaves
// like the shipped one, to the last event: a test compares the trace hashes.
//
// A seed at which the build without a mistake fails as well counts for nothing.
//
// What is left to others: the simulator itself is package sim, its judges are
// package check.
//
// HAZARD: a mistake is found in the source by its old lines, which must be there
// exactly once. When the code changes they may be gone, and the build fails
// loudly; then the mistake is to be made anew in the changed code, not dropped.
package mistakes
