// Package session holds what an op is, what it does to a session, and how a
// session looks: conversations as documents that merge.
//
// [Author] turns a client's [Command] into ops after checking it against the
// session as this replica sees it. [Apply] takes an op, from here or from
// elsewhere, into the session's records. [View], [Messages], [Changes] and
// [List] show them. Everything lies in an ordered key-value store behind [Tx];
// docs/ARCHITECTURE.md has the layout.
//
// The contract with the caller, who holds feeds: an op is applied after all
// that it depends on ([Ready]), its record is stored by [PutRecord] in the same
// transaction, and bytes of an op are never encoded twice. The state that is
// then shown, and hashed by [StateDigest], is a function of the set of applied
// ops, whatever the order in which they came.
//
// Messages with tool calls and their results are whole turns: a result says
// whose call it closes ([Put.CallOf]), the line shows it behind that, and the
// repaired views show exactly one result of each call. The ledger of tool calls
// ([ToolOf]) holds claims and outcomes.
//
// A session has named texts ([ReadText]). Their edits are ops like any other:
// positions in the text that their Deps give, merged by package conflict/text.
// [Texts] keeps opened texts between edits.
//
// The package leaves to others: feeds, chains and frames (protocol), durability
// and time (the shells), how single values merge (conflict).
//
// HAZARD: a record that must exist and does not is damage, reported as a
// [CorruptError], never shown as absence. [Rebuild] makes a session's records
// anew from its ops.
//
// The package is pure: no IO, no goroutines, no clock.
package session
