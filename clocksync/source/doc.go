// Package source is the IO of package clocksync: it reads the clocks of the
// machine, asks time sources, and gives the node a corrected time that it can
// read without waiting.
//
// Sources: NTP servers ([NTP]), the local chronyd ([Chrony]), and whatever else
// implements [Asker]. What their answers amount to is decided by
// [clocksync.Keeper]; this package only moves its inputs and outputs. The
// system clock is read and never set.
//
// HAZARD: NTP is not authenticated here. Who can forge the answers of a
// majority of the servers can move the time; the hybrid clock, which refuses
// stamps far ahead, and causality do not depend on it.
package source
