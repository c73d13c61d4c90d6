// Package inorder keeps the order of work that is begun one after the other
// and carried out side by side, at the one place where the order counts: the
// writes of one client, which are checked at once and must enter the queue of
// the store in the order in which they came.
//
// Whoever begins the work joins a [Line] and hands the context on; the place
// where the order counts calls [Enter]; whoever began the work calls
// [Place.Leave] when it has ended, whether it came to that place or not.
package inorder

import (
	"context"
	"sync"
)

// Line is a queue of work. The zero value is empty. It is not for concurrent use.
type Line struct {
	last chan struct{} // closed when the last who joined has passed
}

// Place is one's place in a line.
//
// Invariant: passed is closed only after everybody before has passed.
type Place struct {
	before <-chan struct{} // nil for the first
	passed chan struct{}
	once   sync.Once // guards the closing of passed
}

type placeKey struct{}

// Join takes the next place. The context is for the work.
func (l *Line) Join(ctx context.Context) (context.Context, *Place) {
	p := &Place{before: l.last, passed: make(chan struct{})}
	l.last = p.passed
	return context.WithValue(ctx, placeKey{}, p), p
}

// Leave lets the next one pass, if this one has not passed. It waits until
// everybody before has, so it comes last.
func (p *Place) Leave() {
	p.once.Do(func() {
		if p.before != nil {
			<-p.before
		}
		close(p.passed)
	})
}

// Enter waits until everybody before has passed or left, and returns what lets
// the next one pass. It does nothing for a context without a place, and for
// one that has passed. It returns the cause if ctx ends first; the place is
// still to be left then.
func Enter(ctx context.Context) (pass func(), err error) {
	p, ok := ctx.Value(placeKey{}).(*Place)
	if !ok {
		return func() {}, nil
	}
	if p.before == nil {
		return p.Leave, nil
	}
	select {
	case <-p.before: // the usual case, which costs little
		return p.Leave, nil
	default:
	}
	select {
	case <-p.before:
		return p.Leave, nil
	case <-ctx.Done():
		return func() {}, context.Cause(ctx)
	}
}
