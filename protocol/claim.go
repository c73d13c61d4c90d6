package protocol

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/session"
)

// ClaimAsk asks the core nodes to decide who carries out a tool call. It is
// also what the core keeps for the one who got it. It passes by both machines.
type ClaimAsk struct {
	Node    string
	Space   string
	Session string
	Key     string // what is claimed, see [session.Claim]
	By      string // the executor
	Over    string // id of the claim to be taken over; may be empty
	At      uint64 // when the asker asked, in milliseconds since 1970
}

// ClaimOutcome is what the core says to a [ClaimAsk]. Numbers are on the wire
// and never change meaning.
type ClaimOutcome uint8

// The outcomes.
const (
	ClaimWon  ClaimOutcome = 1 // the asker has it
	ClaimHeld ClaimOutcome = 2 // somebody else has it
	ClaimDone ClaimOutcome = 3 // it is done: there is a result
)

// ClaimTold answers a ClaimAsk. Of a claim that was won only Core is set.
type ClaimTold struct {
	Core    string
	Outcome ClaimOutcome
	By      string // who has it
	Node    string // where that one claimed it, or the origin of its claim
	Claim   string // id of that claim, if the core node holds it yet
	At      uint64 // in milliseconds since 1970
	Result  []byte // of ClaimDone: JSON
	Failed  bool   // the result is an error
}

// ClaimSubject is where a node asks the core nodes for a claim.
func ClaimSubject(node string) string { return "cw.claim." + Token(node) }

// ClaimSubjects takes the claims of all nodes.
const ClaimSubjects = "cw.claim.*"

func encodeClaimAsk(m ClaimAsk) []byte {
	b := putString(nil, 1, m.Node)
	b = putString(b, 2, m.Space)
	b = putString(b, 3, m.Session)
	b = putString(b, 4, m.Key)
	b = putString(b, 5, m.By)
	b = putString(b, 6, m.Over)
	return putUint(b, 7, m.At)
}

func decodeClaimAsk(b []byte) (ClaimAsk, error) {
	var m ClaimAsk
	err := eachField(b, func(f field) (err error) {
		switch f.num {
		case 1:
			m.Node, err = f.name()
		case 2:
			m.Space, err = f.name()
		case 3:
			m.Session, err = f.name()
		case 4:
			m.Key, err = f.text(session.MaxToolBytes)
		case 5:
			m.By, err = f.text(session.MaxActorBytes)
		case 6:
			m.Over, err = f.text(maxDotBytes)
		case 7:
			m.At, err = f.uint()
		}
		return err
	})
	return m, err
}

// maxDotBytes bounds the text of a dot.
const maxDotBytes = 256

func encodeClaimTold(m ClaimTold) []byte {
	b := putString(nil, 1, m.Core)
	b = putUint(b, 2, uint64(m.Outcome))
	b = putString(b, 3, m.By)
	b = putString(b, 4, m.Node)
	b = putString(b, 5, m.Claim)
	b = putUint(b, 6, m.At)
	b = putBytes(b, 7, m.Result)
	return putBool(b, 8, m.Failed)
}

func decodeClaimTold(b []byte) (ClaimTold, error) {
	var m ClaimTold
	err := eachField(b, func(f field) (err error) {
		switch f.num {
		case 1:
			m.Core, err = f.name()
		case 2:
			err = upTo(f, &m.Outcome, ClaimDone)
		case 3:
			m.By, err = f.text(session.MaxActorBytes)
		case 4:
			m.Node, err = f.text(maxDotBytes)
		case 5:
			m.Claim, err = f.text(maxDotBytes)
		case 6:
			m.At, err = f.uint()
		case 7:
			m.Result, err = f.bytes()
		case 8:
			m.Failed, err = f.bool()
		}
		return err
	})
	return m, err
}

func checkClaimAsk(m ClaimAsk) error {
	return first(name(m.Node, "node"), name(m.Space, "space"), name(m.Session, "session"),
		need(m.Key != "" && m.By != "", "key or by"), plainText(m.Key, session.MaxToolBytes, "key"),
		plainText(m.By, session.MaxActorBytes, "by"), plainText(m.Over, maxDotBytes, "over"), need(m.At <= maxMillis, "at"))
}

func checkClaimTold(m ClaimTold) error {
	return first(name(m.Core, "core"), need(m.Outcome >= ClaimWon && m.Outcome <= ClaimDone, "outcome"),
		need(m.Outcome == ClaimWon || m.By != "" || m.Outcome == ClaimDone, "by"),
		plainText(m.By, session.MaxActorBytes, "by"), plainText(m.Node, maxDotBytes, "node"),
		plainText(m.Claim, maxDotBytes, "claim"), need(m.At <= maxMillis, "at"),
		most(len(m.Result), session.MaxMessageBytes, "result"), need(len(m.Result) == 0 || json.Valid(m.Result), "result"))
}

func plainText(s string, bound int, what string) error {
	return first(most(len(s), bound, what), need(utf8.ValidString(s), what))
}

// maxMillis is the year 10895.
const maxMillis = uint64(1<<48 - 1)

// Time gives when it was.
func (m *ClaimTold) Time() time.Time { return time.UnixMilli(int64(m.At)).UTC() }
