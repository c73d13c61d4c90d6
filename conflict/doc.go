// Package conflict decides what concurrent writes amount to. Each file holds
// one merge rule:
//
//   - [Register]: a value; concurrent writes are all kept, one is shown.
//   - [Counter]: a bag of additions; retries under one key count once.
//   - [Set]: an observed-remove set; an insert concurrent with a remove wins.
//   - [Lifecycle]: the state of a session; the higher state wins.
//   - [Timeline]: a tree of messages kept in arrival order, read depth first.
//
// The first four can be fed in two ways that give equal results. An op is
// applied with its dot and its deps (what its author had seen): it drops what
// deps covers and adds itself. Two states are joined with the vector of what
// each has seen: an item that one side has seen and no longer holds was
// dropped there, and is dropped.
//
// The contract with the caller: an op is applied once, after all ops that its
// deps cover; its deps never cover its own dot; one dot never has two
// contents. Under this contract ops commute, and Join is commutative,
// associative and idempotent.
//
// The package is pure. Values are immutable: methods return new values that
// may share memory with the old ones, so nobody changes a slice after handing
// it in or taking it out. Only [Timeline] is changed in place.
//
// HAZARD: an op that is applied again after a later op dropped it comes back.
// Whoever applies ops must remember, as a vector, which ones are applied.
//
// Source: Almeida, Shoker, Baquero, Delta State Replicated Data Types, 2018
// (dot stores and causal contexts). Differs: contexts are plain vectors,
// because delivery is causal.
package conflict
