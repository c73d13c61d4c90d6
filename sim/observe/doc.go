// Package observe turns what a node shows of a session into what the checkers
// look at. The simulator and live runs both use it, so that one history means
// the same in both.
//
// It knows how the workload writes: values are JSON strings, counters numbers,
// sets arrays of strings.
package observe
