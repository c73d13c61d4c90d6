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

// Line is a queue of work. The zero value is empty.
//
// Invariant: everybody before turn has passed or left; left and waiting hold
// only numbers from turn on, and waiting not turn itself.
type Line struct {
	mu      sync.Mutex // guards what follows
	joined  uint64
	turn    uint64
	left    map[uint64]struct{}      // who left before it was their turn
	waiting map[uint64]chan struct{} // closed when it is their turn
}

// Place is one's place in a line. It is a context, of the work.
type Place struct {
	context.Context
	line   *Line
	number uint64
	over   bool // passed or left; guarded by the line
}

type placeKey struct{}

// Value finds the place itself among the values of the context.
func (p *Place) Value(key any) any {
	if key == (placeKey{}) {
		return p
	}
	return p.Context.Value(key)
}

// Join takes the next place, for work with this context.
func (l *Line) Join(ctx context.Context) *Place {
	l.mu.Lock()
	defer l.mu.Unlock()
	p := &Place{Context: ctx, line: l, number: l.joined}
	l.joined++
	return p
}

// Leave lets the next one pass, if this one has not passed: when its turn has
// come. It may be called more than once.
func (p *Place) Leave() {
	l := p.line
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.over {
		return
	}
	p.over = true
	if p.number != l.turn {
		if l.left == nil {
			l.left = make(map[uint64]struct{})
		}
		l.left[p.number] = struct{}{}
		return
	}
	for gone := true; gone; {
		l.turn++
		if _, gone = l.left[l.turn]; gone {
			delete(l.left, l.turn)
		}
	}
	if next, ok := l.waiting[l.turn]; ok {
		delete(l.waiting, l.turn)
		close(next)
	}
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
	turn := p.line.await(p)
	if turn == nil {
		return p.Leave, nil
	}
	select {
	case <-turn:
		return p.Leave, nil
	case <-ctx.Done():
		return func() {}, context.Cause(ctx)
	}
}

// await gives a channel that is closed when it is p's turn; nil if it is.
func (l *Line) await(p *Place) <-chan struct{} {
	l.mu.Lock()
	defer l.mu.Unlock()
	if p.over || p.number == l.turn {
		return nil
	}
	if l.waiting == nil {
		l.waiting = make(map[uint64]chan struct{})
	}
	turn := l.waiting[p.number]
	if turn == nil {
		turn = make(chan struct{})
		l.waiting[p.number] = turn
	}
	return turn
}
