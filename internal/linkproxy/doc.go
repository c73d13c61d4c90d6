// Package linkproxy is a TCP proxy that cuts, slows and silences the link
// between two programs for real, without privileges: causeway dev and live
// simulations put it between an edge and a core node.
//
// A [Proxy] has one [State] at a time, for all its connections. It delays
// bytes but never reorders, invents or changes them. It works on a byte stream,
// not on packets: loss and duplication of packets do not exist here.
package linkproxy
