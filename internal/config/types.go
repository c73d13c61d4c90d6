package config

import (
	"errors"
	"fmt"
	"math"
	"net"
	"strconv"
	"strings"
	"time"
)

// FieldError is one fault of a configuration. The operator acts on it.
type FieldError struct {
	At   string // "edge.yaml:12" or "--api"; empty when the value has no place
	Path string // "link.resend_after"
	Got  string
	Rule string // what would be right
}

func (e *FieldError) Error() string {
	s := fmt.Sprintf("%s: got %s, want %s", e.Path, e.Got, e.Rule)
	if e.At != "" {
		return e.At + ": " + s
	}
	return s
}

// Bytes is a size. People write 64MB, 512KiB, 4096.
type Bytes int64

// byteUnits are powers of ten and of two, the longer suffix first.
var byteUnits = []struct {
	suffix string
	size   int64
}{
	{"KiB", 1 << 10}, {"MiB", 1 << 20}, {"GiB", 1 << 30}, {"TiB", 1 << 40},
	{"KB", 1e3}, {"kB", 1e3}, {"MB", 1e6}, {"GB", 1e9}, {"TB", 1e12}, {"B", 1},
}

var errBytes = errors.New("not a size")

// UnmarshalText reads a whole number with an optional unit.
func (b *Bytes) UnmarshalText(text []byte) error {
	number, unit := strings.TrimSpace(string(text)), int64(1)
	for _, u := range byteUnits {
		if rest, ok := strings.CutSuffix(number, u.suffix); ok {
			number, unit = strings.TrimSpace(rest), u.size
			break
		}
	}
	n, err := strconv.ParseInt(number, 10, 64)
	if err != nil || n < 0 || n > math.MaxInt64/unit {
		return errBytes
	}
	*b = Bytes(n * unit)
	return nil
}

// MarshalText gives the text that String gives.
func (b Bytes) MarshalText() ([]byte, error) { return []byte(b.String()), nil }

// String gives the size in the largest unit that leaves a whole number.
func (b Bytes) String() string {
	best := byteUnits[len(byteUnits)-1]
	for _, u := range byteUnits {
		if b > 0 && int64(b)%u.size == 0 && u.size > best.size {
			best = u
		}
	}
	return strconv.FormatInt(int64(b)/best.size, 10) + best.suffix
}

// Duration is a length of time. People write 2s, 1m30s, 30d.
type Duration time.Duration

var errDuration = errors.New("not a duration")

// UnmarshalText reads what time.ParseDuration reads, and whole days like 30d.
func (d *Duration) UnmarshalText(text []byte) error {
	s := strings.TrimSpace(string(text))
	if days, ok := strings.CutSuffix(s, "d"); ok {
		n, err := strconv.ParseInt(days, 10, 64)
		if limit := int64(math.MaxInt64 / (24 * time.Hour)); err != nil || n > limit || n < -limit {
			return errDuration
		}
		*d = Duration(time.Duration(n) * 24 * time.Hour)
		return nil
	}
	v, err := time.ParseDuration(s)
	if err != nil {
		return errDuration
	}
	*d = Duration(v)
	return nil
}

// MarshalText gives the text that String gives.
func (d Duration) MarshalText() ([]byte, error) { return []byte(d.String()), nil }

// String writes 90s as 1m30s and whole days as 30d.
func (d Duration) String() string {
	v := time.Duration(d)
	if day := 24 * time.Hour; v != 0 && v%day == 0 {
		return strconv.FormatInt(int64(v/day), 10) + "d"
	}
	s := v.String()
	if strings.HasSuffix(s, "m0s") {
		s = strings.TrimSuffix(s, "0s")
	}
	if strings.HasSuffix(s, "h0m") {
		s = strings.TrimSuffix(s, "0m")
	}
	return s
}

// CheckListen returns nil if a listener on addr is safe or wanted: loopback,
// or anything when insecure is set. It returns a *FieldError for path otherwise.
// Names other than localhost are not looked up and count as other addresses.
func CheckListen(path, addr string, insecure bool) error {
	host, port, err := net.SplitHostPort(addr)
	if err != nil {
		return &FieldError{Path: path, Got: strconv.Quote(addr), Rule: "HOST:PORT, like 127.0.0.1:7101"}
	}
	if n, err := strconv.ParseUint(port, 10, 16); err != nil {
		return &FieldError{Path: path, Got: strconv.Quote(addr), Rule: "a port from 0 to 65535"}
	} else if n == 0 && port != "0" {
		return &FieldError{Path: path, Got: strconv.Quote(addr), Rule: "a port in digits"}
	}
	if insecure || host == "localhost" {
		return nil
	}
	if ip := net.ParseIP(host); ip != nil && ip.IsLoopback() {
		return nil
	}
	return &FieldError{Path: path, Got: strconv.Quote(addr), Rule: "a loopback address such as 127.0.0.1:" + port +
		": other addresses would be open to everybody who can reach them, as there are no credentials yet;" +
		" set insecure: true if that is what you want"}
}
