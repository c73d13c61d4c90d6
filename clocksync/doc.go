// Package clocksync decides what time an op carries.
//
// A [Stamp] is hybrid logical time: wall-clock milliseconds, a counter for
// what happens within one of them, and the trust class of the clock that made
// it. A [Clock] makes stamps that rise strictly, also when the wall clock goes
// back, and across restarts, because its upper bound is persisted before a
// stamp beyond it is used. Stamps only break ties among concurrent writes;
// causality is vclock's business.
//
// A [Keeper] says what time it is: it compares the answers of several sources
// ([Agree]), names those that lie, measures by how much the machine's clock
// drifts, and keeps a corrected time with a bound on its error. Where nobody
// vouches for the time it says so, in the [Trust] of the stamps too.
//
// The package is pure: readings of clocks and answers of sources are
// arguments. clocksync/source brings them.
//
// HAZARD: a clock that believes every remote stamp is carried away by the
// fastest liar. [Clock.Observe] therefore refuses stamps too far ahead.
//
// Source: Kulkarni et al., Logical Physical Clocks, OPODIS 2014. Differs: the
// counter is capped (overflow moves the millisecond on), remote stamps far
// ahead are refused, the upper bound is persisted.
package clocksync
