// Package live decides what clients that stay connected are told, and when:
// which changes follow a client's token ([Topic], [Reader]), in which order
// its requests are answered ([Answers]), and when it is pinged or cut off
// ([Pace]).
//
// It leaves to its callers what a change looks like, where changes are read
// (a [Source] of the caller's: the store of a node), sockets, locks and timers.
//
// A token is a version vector: the ops that the client has. The promise to a
// client that follows a session or a space, at this node or, with its last
// token, at another one, is: each op comes exactly once, and after everything
// that it depends on, as far as the node holds that. It rests on two facts
// about vectors. Of each origin a replica applies the ops of a session in the
// order of their numbers, so that a vector never covers an op that was passed
// over; and each delivery carries the client's own vector with that op in it,
// never the node's.
//
// HAZARD: a token of one session says nothing about another: used there it
// would hide what other sessions' numbers happen to cover. Tokens of a space
// are good for its sessions as well.
//
// No queue grows with a client that is slow: what was not taken from the tail
// of a topic in time is read again from the store, behind the client's token.
package live
