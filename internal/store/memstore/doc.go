// Package memstore is the store as the simulator has it: in memory, single
// threaded, deterministic, and with a disk that fails on command.
//
// It keeps the contract of package store: atomic transactions, reads that give
// the bytes written or an error, a commit number and a high-water mark. What a
// crash takes, which record rots, when the disk is full and when an fsync fails
// is decided by the caller, with a generator that the caller hands in.
package memstore
