// Package text merges edits of one text that were made at several places at
// once, and offers classic operational transformation on the same core.
//
// A [Doc] is a text with its history. Every inserted or deleted character is
// an event, named by its agent and the agent's count, and kept as its author
// made it: a position in the document that the author saw, plus the causal
// parents. The text is a function of the set of events; whoever holds the same
// set has the same text, in whatever order it came:
//
//	d := text.New()
//	span, err := d.Insert("edge-1", 0, "hello")  // local edits
//	runs, err := d.Runs(span)                    // what other replicas need
//	edits, err := other.Apply(runs)              // what it did to their text
//	runs, err = d.Since(other.Vector())          // what another replica lacks
//
// Remote positions are transformed by replaying the part of the graph that is
// concurrent, with the walker of Eg-walker: while history is linear nothing is
// replayed, and what is replayed begins at the last version that everything
// else comes before or after. Concurrent inserts at one place are ordered by
// FugueMax, so that neither typing forwards nor typing backwards interleaves;
// what FugueMax leaves equal is ordered by the tie rule, see [TieRule].
//
// [Doc.EditAt] takes edits of a client that saw an older version, and gives
// back what it has to make on its own text, so that the client needs no
// algorithm. [Doc.Undo] takes back what one author did. [Transform], [Compose],
// [Invert] and [MapCursor] work on edits alone.
//
// Positions count code points (Unicode scalar values). [Convert],
// [Doc.Convert] and [Doc.EditFrom] translate from and to UTF-16 units and
// bytes. Text that is not UTF-8 is refused, and never normalised.
//
// What the package leaves to others: delivery, storage, and who may write. It
// wants causal delivery ([ErrMissing] says "later"), and takes any order within
// one call. [Doc.AppendHistory] and [Doc.AppendSnapshot] give bytes to keep;
// [Open] shows a text without reading its history.
//
// The package is pure. A Doc is not safe for concurrent use.
//
// HAZARD: two writers that share an agent make two events with one name. That
// is found when both come to one replica ([ErrForked]), not before. Use agents
// that are never handed out twice.
//
// HAZARD: an event whose parents are old makes all that is concurrent to it
// run again. See [Doc.ReplayLimit].
//
// Source: Gentle and Kleppmann, Collaborative Text Editing with Eg-walker,
// EuroSys 2025; Weidner and Kleppmann, The Art of the Fugue, 2023. Differs:
// items are runs in a B-tree, and placeholders are split under handles instead
// of being numbered, so a restart costs nothing for the text before it.
package text
