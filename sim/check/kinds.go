package check

// kinds are the names of ops: ours, those of the HTTP API and those of package
// session.
var kinds = map[string]Action{
	"open": Open, "append": Append, "message": Append, "put": Append, "edit": Edit, "redact": Redact,
	"patch": Patch, "context": Patch, "set": Patch, "add": Add, "insert": Insert, "remove": Remove, "adjust": adjusts,
	"move": Move, "transition": Move, "erase": Erase, "text": Text,
	"expire": expires, "erased": hollow, "unknown": foreign,
}

// Kinds of ops that no client asks for, or that may be one of several.
const (
	adjusts Action = 200 + iota // add, insert or remove
	expires
	hollow
	foreign
)

// kindOf gives what an op of that kind does; foreign if the name is unknown.
func kindOf(name string) Action {
	if a, ok := kinds[name]; ok {
		return a
	}
	return foreign
}

// fits reports whether an op of a kind may have come of an action.
func fits(kind, do Action) bool {
	if kind == adjusts {
		return do == Add || do == Insert || do == Remove
	}
	return kind == do
}
