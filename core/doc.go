// Package core is the shell around a core node: the embedded NATS server with
// its streams, the store that reads them, and delivery to attached edges.
//
// A core node is a replica like an edge: it answers the same API and writes
// under its own origin; what it writes goes up its own bus by an edge's link.
// In addition it ingests the op streams into its store, gives receipts for
// what is durable there, and hands each attached node what it lacks. All
// decisions are the core half's of package protocol.
package core
