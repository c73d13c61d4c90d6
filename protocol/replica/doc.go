// Package replica decides what a node holds: the feeds of every space, their
// chains, the order in which ops arrived, and which ops wait for others.
//
// Edge, core and simulator drive it through a store transaction. A [Replica]
// makes ops from commands ([Replica.Write]) and takes frames of other origins
// ([Replica.Ingest]); the package functions read frames, heads and vectors
// back. All state lives in the store, so a transaction that is discarded and
// run again leaves no trace; only the hybrid clock is in memory, and it may
// run ahead.
//
// Contract: feeds advance one number at a time and never fork: an op with a
// number that is held already is ignored when its content is the same and
// refused with [ErrFork] when it is not. An op is applied to its session when
// the session's vector covers its dependencies; until then it is held.
//
// The package is pure. It leaves to others: who talks to whom (protocol), what
// an op means (session), durability (the store).
package replica
