// Package kv holds what the durable store and the simulated one share: the
// envelope around every stored value ([Seal], [Open]), an ordered set of keys
// ([Keys]), and the pending writes of a transaction over a reader ([Batch]).
//
// It does no IO and starts nothing, so that the simulator runs the same code.
package kv
