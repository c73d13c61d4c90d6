// Package drive decides what a node does with what the machines of package
// protocol ask or say, against a transaction of its store: which heads they are
// told, which frames go into a commit, what is read for a delivery, when a new
// origin is taken, how a damaged record is mended, what is due to expire.
//
// Edge, core and simulator call it, so that the simulator runs the decisions
// that ship. It leaves to them: goroutines, the network, the disk, timers, the
// log, and which of them runs when.
//
// Contract with the caller. What is given to a machine is true of the store:
// commit first, then tell ([EdgeHeads] or [Moved.TakeCore]), then
// give what was made of it. An error that wraps [session.ErrCorrupt] names a
// record to repair ([RepairOf]); what came back beside it may still be used
// where the function says so. Functions over a [session.Tx] may run more than
// once, when the store runs the transaction again.
//
// Values of [Told], [Moved], [Acks], [Mover] and [Attached] are owned by one
// goroutine; their zero values are ready.
package drive
