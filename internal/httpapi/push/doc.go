// Package push is the shell around package live: it reads changes once for all
// who follow a session or a space, and writes them to WebSockets and event
// streams. What follows which token, in which order requests are answered and
// when a client is too slow is decided there; JSON and sockets are here.
//
// Whoever commits never waits for anybody here: it is told by the source that a
// topic has moved, which starts a goroutine to read it unless one runs. A
// connection has one goroutine that reads its requests, and one that writes
// while there is something to write. The writer collects at most about
// [WriteBytes], writes them at once, and only then looks for more, so that a
// client which does not read costs one buffer; what it misses stays in the
// store.
package push
