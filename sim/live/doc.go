// Package live carries out a scenario against real processes: edges, core nodes,
// JetStream and Badger of a causeway binary, judged by the checkers that judge
// the simulator.
//
// Every node is a process with its own directory. Every connection from an edge
// to a core node, and between core nodes, goes through a proxy in this process
// that delays, stalls, cuts and swallows its bytes. Processes are killed, asked to
// stop and frozen by signals; their directories are wiped, set back, copied and
// damaged. With Options.Netns each node lives in a network namespace of its own,
// and packet filters there make partitions and random loss of packets for real;
// that needs root.
//
// Time is real: a run takes as long as its plan, and no two runs are alike. What
// cannot be made with real processes (clocks that jump, a full disk, an fsync that
// fails) is refused by name before anything starts, or left out when asked to.
//
// A run leaves nothing behind: all processes are ended, directories and
// namespaces removed, also when ctx ends in the middle.
package live
