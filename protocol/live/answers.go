package live

import "fmt"

// Answers puts the answers to one client's requests, which are carried out
// side by side, back into the order of the requests.
//
// Invariant: slots are the requests from number first on that were not both
// answered and taken; at most MaxUnanswered. bytes is the size of the requests
// that are not answered and of the answers that are not taken.
type Answers struct {
	first uint64
	slots []slot
	bytes int
}

type slot struct {
	answer []byte
	size   int // of the request, then of the answer
	ready  bool
}

// Full reports whether the client must wait with its next request.
func (a *Answers) Full() bool {
	return len(a.slots) >= MaxUnanswered || a.bytes >= MaxUnansweredBytes
}

// Expect gives the number of a new request of so many bytes; there must be
// room for it.
func (a *Answers) Expect(size int) uint64 {
	if len(a.slots) >= MaxUnanswered {
		panic(fmt.Sprintf("live: want at most %d requests, have %d and a new one", MaxUnanswered, len(a.slots)))
	}
	a.slots = append(a.slots, slot{size: size})
	a.bytes += size
	return a.first + uint64(len(a.slots)) - 1
}

// Answer gives the answer to request n, which must be expected still.
func (a *Answers) Answer(n uint64, answer []byte) {
	if n < a.first || n-a.first >= uint64(len(a.slots)) || a.slots[n-a.first].ready {
		panic(fmt.Sprintf("live: want an answer that is expected, have %d of %d to %d",
			n, a.first, a.first+uint64(len(a.slots))))
	}
	a.bytes += len(answer) - a.slots[n-a.first].size
	a.slots[n-a.first] = slot{answer: answer, size: len(answer), ready: true}
}

// Next takes the next answer, if it is its turn.
func (a *Answers) Next() (answer []byte, ok bool) {
	if len(a.slots) == 0 || !a.slots[0].ready {
		return nil, false
	}
	answer = a.slots[0].answer
	a.slots[0] = slot{}
	a.bytes -= len(answer)
	a.first++
	if a.slots = a.slots[1:]; len(a.slots) == 0 {
		a.slots = nil
	}
	return answer, true
}

// Ready reports whether Next has an answer.
func (a *Answers) Ready() bool { return len(a.slots) > 0 && a.slots[0].ready }

// Waiting counts the requests that are under way or whose answers wait.
func (a *Answers) Waiting() int { return len(a.slots) }
