package report

// The limits of a page. Reaching one is said on the page.
const (
	MaxEvents       = 50_000  // events in the diagram
	MaxLanes        = 40      // lanes in the diagram; the nodes beyond share one
	MaxTraceBytes   = 6 << 20 // of JSON for the diagram; fewer events are taken until it fits
	MaxSessions     = 2_000   // sessions to choose from
	MaxSessionBytes = 2 << 20 // of JSON for all sessions
	MaxCalls        = 400     // calls shown of one session
	MaxMessages     = 200     // messages shown of one session at one node: the last ones
	MaxColumns      = 24      // nodes beside each other in the history of a session
	MaxFaults       = 400     // rows in the table of faults
	MaxProblems     = 200     // violations listed one by one
	MaxText         = 240     // characters of one value or detail
)
