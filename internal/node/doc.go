// Package node is the part that an edge and a core node share: one store, one
// replica that writes under the node's origin, and the service behind the API.
//
// A [Node] decides nothing about conflicts or sync; it takes commands and
// frames into the store's group commit, answers reads from snapshots, wakes
// those who wait for changes, and tells the shell around it which feeds have
// moved. The shells add what differs: an edge its link, a core node its bus.
package node
