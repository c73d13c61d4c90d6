// Package netem makes the decisions of a bad link: which message is lost,
// doubled, damaged, sent ahead, and by how much each is delayed.
//
// It follows Linux's netem where that is wanted, in particular its correlated
// numbers: each is a mean of a fresh number and the one before. The mean of two
// uniform numbers is not uniform, so the rate that comes out is not the rate
// that was asked for: "loss 1 % correlation 25 %" loses nearly nothing. [Rate]
// says what to expect, so that it can be printed beside the nominal rate. A
// [Chance] that preserves the mean decides in another way, which keeps the rate.
//
// Contract: the caller keeps one [Source] for each direction of each link and
// each purpose, and hands in a generator. Equal generators give equal decisions.
//
// HAZARD: with the kernel's formula and a correlation near 1, decisions come in
// runs of thousands. A short run of the simulator sees one of them and says
// little about the rate.
//
// Source: net/sched/sch_netem.c of Linux 6; tc-netem(8).
package netem
