package lifecycle

import (
	"context"
	"errors"
	"fmt"
	"sync"
)

// Part is one long-lived part of a node. Run works until ctx ends or there is
// nothing more to do; when it returns, it has left nothing behind.
type Part struct {
	Name string
	Run  func(ctx context.Context) error
}

// Run runs all parts at once and returns when all have returned. As soon as
// one returns, with or without an error, or ctx ends, the context of the
// others is cancelled; its cause names the part that ended first. The result
// joins the errors of all parts, each with its part's name. A part that gives
// back the end of its context after that end has done as it was told: this is
// no error.
func Run(ctx context.Context, parts ...Part) error {
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	errs := make([]error, len(parts))
	var running sync.WaitGroup
	for i, part := range parts {
		running.Go(func() {
			err := part.Run(ctx)
			if err == nil {
				cancel(fmt.Errorf("%s ended", part.Name))
				return
			}
			if ctx.Err() != nil && onlyTheEndOf(ctx, err) {
				return
			}
			errs[i] = fmt.Errorf("%s: %w", part.Name, err)
			cancel(errs[i])
		})
	}
	running.Wait()
	return errors.Join(errs...)
}

// onlyTheEndOf reports whether err says that ctx ended and nothing else.
// errors.Is would not do: it overlooks what is joined to the end of ctx.
func onlyTheEndOf(ctx context.Context, err error) bool {
	if err == ctx.Err() || err == context.Cause(ctx) {
		return true
	}
	switch wrapped := err.(type) {
	case interface{ Unwrap() error }:
		inner := wrapped.Unwrap()
		return inner != nil && onlyTheEndOf(ctx, inner)
	case interface{ Unwrap() []error }:
		for _, inner := range wrapped.Unwrap() {
			if !onlyTheEndOf(ctx, inner) {
				return false
			}
		}
		return len(wrapped.Unwrap()) > 0
	}
	return false
}
