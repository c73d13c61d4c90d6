package text

import "strings"

// opKind is what an event does.
type opKind uint8

const (
	opInsert    opKind = iota // run: at pos, pos+1, …
	opDelete                  // run: all at pos
	opBackspace               // run: at pos, pos-1, …
)

// opRun is a packed run of events. Its events need not be a chain: the graph
// says what precedes what, this only what each event does.
type opRun struct {
	at   lv
	n    int32
	kind opKind
	pos  int32 // of the first event
	text int32 // byte where the inserted text begins
}

// packBytes bounds inserts that are packed together if they are not all
// ASCII, so that a place in their text is found fast.
const packBytes = 2048

// oplog holds what all events do, in the order of their numbers.
type oplog struct {
	runs []opRun
	text []byte // of all inserts
	near int    // the run asked for last

	keptRuns int
	keptLast opRun
	keptText int
}

func (o *oplog) mark() {
	o.keptRuns, o.keptText = len(o.runs), len(o.text)
	if len(o.runs) > 0 {
		o.keptLast = o.runs[len(o.runs)-1]
	}
}

func (o *oplog) rollback() {
	o.runs, o.text = o.runs[:o.keptRuns], o.text[:o.keptText]
	if len(o.runs) > 0 {
		o.runs[len(o.runs)-1] = o.keptLast
	}
}

// insert appends n events that insert the n characters of s.
func (o *oplog) insert(at lv, n, pos int32, s string) {
	if i := len(o.runs) - 1; i >= 0 {
		last := &o.runs[i]
		bytes := len(o.text) - int(last.text)
		ascii := bytes == int(last.n) && len(s) == int(n)
		if last.kind == opInsert && last.pos+last.n == pos && (ascii || bytes+len(s) <= packBytes) {
			last.n += n
			o.text = append(o.text, s...)
			return
		}
	}
	for len(s) > packBytes && len(s) != int(n) {
		cutAt := cut(s, packBytes)
		m := measure(s[:cutAt])[CodePoints]
		o.runs = append(o.runs, opRun{at, m, opInsert, pos, int32(len(o.text))})
		o.text = append(o.text, s[:cutAt]...)
		at, pos, n, s = at+lv(m), pos+m, n-m, s[cutAt:]
	}
	o.runs = append(o.runs, opRun{at, n, opInsert, pos, int32(len(o.text))})
	o.text = append(o.text, s...)
}

// delete appends n events that delete; see opKind for pos.
func (o *oplog) delete(at lv, n, pos int32, kind opKind) {
	if i := len(o.runs) - 1; i >= 0 {
		last := &o.runs[i]
		back := last.kind == opBackspace || last.kind == opDelete && last.n == 1
		switch {
		case last.kind == opDelete && last.pos == pos && (kind == opDelete || n == 1):
			last.n += n
			return
		case back && last.pos-last.n == pos && (kind == opBackspace || n == 1):
			last.kind = opBackspace
			last.n += n
			return
		}
	}
	if n == 1 {
		kind = opDelete
	}
	o.runs = append(o.runs, opRun{at, n, kind, pos, int32(len(o.text))})
}

// runOf returns the index of the run that holds event v. It is quick for who
// asks for what is near to what was asked for last.
func (o *oplog) runOf(v lv) int {
	r := o.runs
	lo, hi := 0, len(r)
	if near := o.near; near < hi {
		if r[near].at <= v {
			lo = near
			for step := 1; lo+step < hi; step *= 2 {
				if r[lo+step].at > v {
					hi = lo + step
					break
				}
				lo += step
			}
		} else {
			hi = near
			for step := 1; hi-step > 0; step *= 2 {
				if r[hi-step].at <= v {
					lo = hi - step
					break
				}
				hi -= step
			}
		}
	}
	for hi-lo > 1 {
		if m := int(uint(lo+hi) >> 1); r[m].at <= v {
			lo = m
		} else {
			hi = m
		}
	}
	o.near = lo
	return lo
}

// part returns the events [from, to) of run i as a run of its own.
func (o *oplog) part(i int, from, to lv) opRun {
	r := o.runs[i]
	off := int32(from - r.at)
	part := opRun{from, int32(to - from), r.kind, r.pos, r.text}
	switch r.kind {
	case opInsert:
		part.pos += off
		part.text += o.bytesTo(i, off)
	case opBackspace:
		part.pos -= off
	}
	return part
}

// bytesTo returns the length in bytes of the first k characters of run i.
func (o *oplog) bytesTo(i int, k int32) int32 {
	end := len(o.text)
	if i+1 < len(o.runs) {
		end = int(o.runs[i+1].text)
	}
	if b := o.text[o.runs[i].text:end]; len(b) != int(o.runs[i].n) {
		return int32(skip(b, int(k)))
	}
	return k
}

// inserted appends to b the text that events [from, to) insert; all of them do.
func (o *oplog) inserted(b *strings.Builder, from, to lv) {
	for i := o.runOf(from); from < to; i++ {
		r := &o.runs[i]
		end := min(to, r.at+lv(r.n))
		x, y := o.bytesTo(i, int32(from-r.at)), o.bytesTo(i, int32(end-r.at))
		b.Write(o.text[r.text+x : r.text+y])
		from = end
	}
}
