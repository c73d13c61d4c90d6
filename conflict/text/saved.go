package text
import "github.com/causeway-sync/causeway/vclock"
type savedState struct { heads Version; vector vclock.Vector }
func (d *Doc) load() error { return nil }
