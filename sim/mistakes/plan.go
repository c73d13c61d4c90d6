package mistakes

import "github.com/causeway-sync/causeway/sim"

// PlanOf is the plan of a seed: three core nodes and five edges, as causeway sim
// explore draws it.
func PlanOf(seed uint64) *sim.Plan { return sim.Draw(seed, sim.Shape{Cores: 3, Edges: 5}) }
