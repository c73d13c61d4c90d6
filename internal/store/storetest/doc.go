// Package storetest is the conformance suite of [session.Tx]: what every store
// under a session must do. Each case says in a sentence what is violated when it
// fails. It runs on the durable store and on the simulated one.
package storetest
