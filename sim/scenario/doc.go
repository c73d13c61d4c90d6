// Package scenario reads what a simulation is to do from YAML, and writes it
// back.
//
// A scenario file has one document of our own, which names nodes, links,
// workload, calls, faults and expectations, and any number of Chaos Mesh
// NetworkChaos documents beside it. [Load] turns them into a [sim.Plan]. The plan
// is a function of the text and the seed: the seed chooses where a NetworkChaos
// document leaves a choice (mode one, fixed, …). docs/SIMULATION.md lists every
// key.
//
// Reading is strict, as that of internal/config: everything that is wrong is
// reported at once, each fault as a *config.FieldError with file and line.
// Beyond types and ranges that covers what cannot be meant: a node that does not
// exist, a selector that matches nothing, faults that contradict each other, a
// time beyond the length. A plan that was drawn and not written by a person may
// contain such things; [Write] marks it as drawn, and Load lets them through.
//
// Scenarios that ship lie in sim/scenarios; see [Names] and [Shipped].
package scenario
