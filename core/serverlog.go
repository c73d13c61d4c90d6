package core

import (
	"errors"
	"fmt"
	"log/slog"
	"strings"
	"sync"
)

// serverLog passes the NATS server's messages to slog. Its Fatalf does not end
// the process, as the server's own loggers do: it keeps the reason, and the bus
// returns it.
type serverLog struct {
	log *slog.Logger

	mu      sync.Mutex // guards what follows
	fatal   error
	refusal error
	failed  chan struct{} // closed at the first fatal message
}

func newServerLog(log *slog.Logger) *serverLog {
	return &serverLog{log: log, failed: make(chan struct{})}
}

func (l *serverLog) fatalError() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.fatal
}

// lastRefusal is the last time that a peer of another cluster was turned away.
func (l *serverLog) lastRefusal() error {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.refusal
}

// note looks for texts that we act upon, and returns the text.
func (l *serverLog) note(format string, args []any) string {
	text := fmt.Sprintf(format, args...)
	if strings.Contains(text, "cluster name") && strings.Contains(text, "does not match") {
		l.mu.Lock()
		l.refusal = errors.New("nats server: " + text)
		l.mu.Unlock()
	}
	return text
}

// Noticef logs routine messages of the server, of which it has many.
func (l *serverLog) Noticef(format string, v ...any) {
	l.log.Debug("nats server", slog.String("text", l.note(format, v)))
}

// Warnf logs a warning, or an error if the server is about to delete data.
func (l *serverLog) Warnf(format string, v ...any) {
	text := l.note(format, v)
	if strings.Contains(strings.ToLower(text), "orphaned stream") {
		l.log.Error("nats server", slog.String("text", text))
		return
	}
	l.log.Warn("nats server", slog.String("text", text))
}

// Errorf logs as a warning: the server also reports lost connections so.
func (l *serverLog) Errorf(format string, v ...any) { l.Warnf(format, v...) }

// Debugf drops the message.
func (l *serverLog) Debugf(string, ...any) {}

// Tracef drops the message.
func (l *serverLog) Tracef(string, ...any) {}

// Fatalf keeps the first reason.
func (l *serverLog) Fatalf(format string, v ...any) {
	text := l.note(format, v)
	l.log.Error("nats server", slog.String("text", text))
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.fatal == nil {
		l.fatal = errors.New("nats server: " + text)
		close(l.failed)
	}
}
