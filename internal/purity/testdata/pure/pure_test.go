package pure

import (
	"os"
	"testing"
	"time"
)

func TestMayDoIO(t *testing.T) { t.Log(os.Args, time.Now()) }
