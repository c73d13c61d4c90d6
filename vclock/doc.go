// Package vclock holds version vectors and dots: who has seen what.
//
// A [Dot] names one event: the writer that made it and the writer's own
// counter. A [Vector] is a causally closed set of dots, written as the highest
// counter per writer. Comparing two vectors tells whether one version precedes
// the other or whether they are concurrent; nothing here looks at a clock.
//
// The package is pure: it does no IO, starts no goroutine, reads no time. All
// values are immutable; methods that change something return a new value.
//
// HAZARD: if two writers share an [Origin], their histories look like one
// writer's and a fork is not seen. Whoever hands out origins must never hand
// one out twice; see the epoch in the design of the node identity.
//
// Source: Parker et al., Detection of Mutual Inconsistency in Distributed
// Systems, 1983 (version vectors); Almeida et al., Scalable and Accurate
// Causality Tracking for Eventually Consistent Stores, 2014 (dots).
package vclock
