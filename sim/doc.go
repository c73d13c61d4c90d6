// Package sim runs whole clusters of causeway in virtual time, from one seed.
//
// It drives the very machines, session code and store logic that edge and core
// ship, over a simulated network, JetStream, disks and clocks. One goroutine,
// no wall clock: the same plan and seed give the same trace, byte for byte.
//
// A run has two phases. In the first, faults come and go while clients write
// and read. Then everything but a chosen set is healed, and all healed nodes
// must agree within a bound. Checkers that see only requests, answers and reads
// judge the outcome (package check); what the world itself can see beyond that,
// such as an outbox that is released too early, it reports as it happens.
package sim
