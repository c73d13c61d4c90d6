// Package intake decides which requests a node takes and how firmly: token
// buckets per node, space and client ([Buckets]); how many writes are carried
// out at a time, who waits and who is turned away, live turns before imports
// before backlog ([Gate]); what a shortage of memory or disk means ([Reserves]);
// and at which level a write is acknowledged ([Policy]).
//
// The contract with the caller: time is an argument and does not go back; the
// caller guards each value by a lock of its own. Nothing here waits or sends: a
// gate that cannot take a request at once gives a number, and later lists which
// numbers go in and which are turned away.
//
// The package leaves to others: headers and codes (httpapi), what memory and
// disk there is (node), whether the core answers (node, with a circuit breaker).
//
// The package is pure: no IO, no goroutines, no clock.
package intake
