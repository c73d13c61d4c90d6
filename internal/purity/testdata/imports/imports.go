// Package imports imports what no pure package may.
package imports

import (
	"context"
	"crypto/rand"
	"log/slog"
	oldrand "math/rand"
	"net/http"
	"os"
	. "strings"
	"sync/atomic"

	"github.com/dgraph-io/badger/v4"
	"github.com/nats-io/nats.go"
)
