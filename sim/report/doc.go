// Package report draws a run of the simulator as one HTML page, for a person
// who must explain an outage.
//
// It decides what of a run is shown and how it is said: the verdict in one
// line, each promise with what was looked at, a space-time diagram, the history
// of each session, the faults in words. It judges nothing: what it calls broken
// is what the checkers found.
//
// The page is one file without any outside resource. It opens from a disk, in
// light and dark, on a screen reader and on paper. Head, promises and faults are
// plain HTML; diagram and sessions need the script, and the page says so where
// there is none. All that a run contains may have been written by anybody: it
// reaches the page as escaped text or as JSON, the script makes text nodes only,
// and a content security policy allows no script but the page's own.
//
// The size is bounded by the limits in limits.go, whatever the run. Where
// something is left out, the page says how much and by what rule.
package report
