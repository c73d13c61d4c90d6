package netem_test

import (
	"testing"

	"github.com/causeway-sync/causeway/internal/purity"
)

func TestPure(t *testing.T) {
	t.Parallel()
	purity.Check(t)
}
