package config

import (
	"fmt"
	"log/slog"
	"regexp"
	"time"
)

var nodeName = regexp.MustCompile(`^[a-z0-9][a-z0-9-]{0,62}$`)

// CheckNode checks the name of a node or cluster.
func CheckNode(path, name string) error {
	if nodeName.MatchString(name) {
		return nil
	}
	return &FieldError{Path: path, Got: fmt.Sprintf("%q", name),
		Rule: "1 to 63 lower-case letters, digits and dashes, beginning with a letter or digit"}
}

// CheckRange checks a duration.
func CheckRange(path string, got, low, high time.Duration) error {
	if low <= got && got <= high {
		return nil
	}
	return &FieldError{Path: path, Got: got.String(), Rule: fmt.Sprintf("%s to %s", low, high)}
}

// CheckLog checks a log level.
func CheckLog(path, level string) error {
	var l slog.Level
	if err := l.UnmarshalText([]byte(level)); err != nil {
		return &FieldError{Path: path, Got: fmt.Sprintf("%q", level), Rule: "debug, info, warn or error"}
	}
	return nil
}

// CheckListenOrNone is [CheckListen] for a listener that may be left out.
func CheckListenOrNone(path, addr string, insecure bool) error {
	if addr == "" {
		return nil
	}
	return CheckListen(path, addr, insecure)
}
