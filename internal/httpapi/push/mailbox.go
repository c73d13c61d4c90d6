package push

import "sync"

// Mailbox holds the signals that wait for one client. It is bounded: one who
// does not take them in time is told what holds when he does.
type Mailbox struct {
	mu     sync.Mutex // guards what follows
	notes  []*Note
	bytes  int
	missed bool // signals were dropped
	again  bool // what holds is being told: what does not fit is left out
}

// Put adds a note. It returns at once.
func (m *Mailbox) Put(n *Note) {
	m.mu.Lock()
	defer m.mu.Unlock()
	switch {
	case len(m.notes) == 0 || len(m.notes) < MaxNotes && m.bytes+n.size() <= MaxNoteBytes:
		m.notes = append(m.notes, n)
		m.bytes += n.size()
	case !m.again:
		m.notes, m.bytes, m.missed = nil, 0, true
	}
}

// Waiting reports whether there is something to take.
func (m *Mailbox) Waiting() bool {
	m.mu.Lock()
	defer m.mu.Unlock()
	return len(m.notes) > 0 || m.missed
}

// Take empties the mailbox. If something was dropped, again is called first to
// put in what holds.
func (m *Mailbox) Take(again func()) []*Note {
	m.mu.Lock()
	missed := m.missed
	if missed {
		m.notes, m.bytes, m.missed, m.again = nil, 0, false, true
	}
	m.mu.Unlock()
	if missed {
		again()
	}
	m.mu.Lock()
	defer m.mu.Unlock()
	notes := m.notes
	m.notes, m.bytes, m.again = nil, 0, false
	return notes
}
