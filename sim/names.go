package sim

import (
	"errors"
	"fmt"
	"strings"
	"unicode"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
	"github.com/causeway-sync/causeway/vclock"
)

// kindOf names a message: "deliver", "attach_asked".
func kindOf(m protocol.Message) string { return typeName(m) }

// factName names a fact: "attach_granted".
func factName(f protocol.Fact) string { return typeName(f) }

func typeName(v any) string {
	name := fmt.Sprintf("%T", v)
	return names.of(name[strings.LastIndexByte(name, '.')+1:])
}

// names turns Go names into words, each once.
var names nameTable

type nameTable struct{}

func (nameTable) of(name string) string {
	var b strings.Builder
	for i, r := range name {
		if unicode.IsUpper(r) && i > 0 {
			b.WriteByte('_')
		}
		b.WriteRune(unicode.ToLower(r))
	}
	return b.String()
}

// own reports whether an origin is one of the node's.
func own(node string, o vclock.Origin) bool { return protocol.NodeOf(o) == node }

func isRecreated(err error) bool { return errors.Is(err, drive.ErrStreamRecreated) }

// String names the kind of fault as scenario files do.
func (k FaultKind) String() string {
	return [...]string{"none", "partition", "degrade", "clog", "flap", "crash", "stop", "pause", "wipe", "wipe_streams", "restore",
		"clone", "bit_flip", "lose_synced", "disk_full", "disk_reserve", "slow_disk", "fsync_error", "clock_step", "clock_drift",
		"stream_loss", "stream_away", "leave", "move_link", "upgrade"}[k]
}
