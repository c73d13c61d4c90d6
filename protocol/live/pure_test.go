package live

import (
	"testing"

	"github.com/causeway-sync/causeway/internal/purity"
)

func TestPure(t *testing.T) { purity.Check(t) }
