// Package edge is the shell around an edge node: it keeps the node's store and
// API, dials the core over NATS, and steps the edge half of the sync machine.
// All decisions about what to send, when to try again and what a receipt means
// are package protocol's; what an op does is package session's.
//
// HAZARD: an edge is the only holder of an op until a core store has given a
// receipt. Its data directory is worth as much as the conversations in it.
package edge
