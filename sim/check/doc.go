// Package check judges a history: what clients asked, what they were answered,
// what they read on the way, and what every healthy node shows in the end.
//
// The checkers are independent of the code under test. They import none of it
// and know nothing of vectors, chains or merge rules beyond what a reader of the
// public contract sees: what a node shows comes before what is written there
// afterwards, a message comes after its parent, a list of changes holds what its
// node held by then. The simulator and a run against real processes give the
// same kind of history and are judged by the same checkers, one a file:
//
//	judgeable    the history keeps to its own contract
//	survive      acknowledged writes are at every healthy node in the end (I2)
//	invented     what is shown was submitted before, for that place (I3)
//	once         a request has its effect once, a refused one has none (I4)
//	feeds        feeds have no gaps and one content, and only grow (I4, I5)
//	causality    effects come after their causes, nothing goes back (I6)
//	convergent   bad patterns of causal convergence (I7)
//	convergence  all nodes agree, in time (I8)
//	content      concurrent values are kept (I9)
//	sets, texts  so is what was put into sets, counters and texts (I9)
//	lifecycle    states and moves are legal, the highest wins (section 6 of the design)
//	erased       erased stays erased (F59)
//	stamps       stamps rise (I10)
//	conditional  If-Match finds what it expects
//	bounds       sizes stay within bounds (I12)
//	liveness     everything reaches the core after the faults (I13)
//
// Contract with who makes histories: every value that is written is unique; a
// retry has the key and the values of the first call; calls that are refused
// have a definite code; a reset is noted whenever what a node shows may fall
// back; what may be gone is excused. A checker that cannot decide because the
// contract is broken reports a violation. Where the order of calls that overlap,
// the fate of calls without an answer, or the ways of a retry leave several
// outcomes open, each of them is allowed: a violation is always one.
package check
