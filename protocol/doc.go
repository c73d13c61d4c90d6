// Package protocol decides what nodes say to each other and when.
//
// It holds the messages and their bytes (wire.proto is the specification), the
// names of the NATS subjects, and the two halves of sync as step machines:
// [Edge] sends a node's feeds up to the op stream and takes deliveries from a
// core node; [Core] answers attaching nodes, hands out what they lack, issues
// receipts and asks for what is missing. A core node runs both: [Edge] for its
// own writes and for refilling its store from a peer.
//
// The machines hold no ops, only ranges and chains. Their driver (a shell, or
// the simulator) owns the store and the network: it feeds inputs to Step and
// carries out the output in the order of its fields. Durability comes back as
// an input; time is an argument; every Step may ask for one wake-up. What a
// replica holds, and whether a frame fits it, is decided in protocol/replica.
//
// What may be relied on:
//
//   - An op is released from the outbox only when the required number of
//     distinct stores have given a receipt whose chain equals ours.
//   - Deliveries of an attachment are handed over in order without a gap, or
//     the attachment is given up and made anew from what the store then holds.
//   - Bytes and messages of a peer never panic a machine; one that is refused
//     leaves the machine as it was.
//
// HAZARD: the machines trust Persisted, Advanced and Ingested. A driver that
// reports them before the fsync breaks every promise above.
package protocol
