package protocol

import (
	"encoding/json"
	"time"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/session"
)

// Signal says something to whoever follows a session at this moment: that
// somebody types or is present, or the next words of an answer in the making.
// It is not stored, may be lost, and passes by both machines; package live
// decides what becomes of it. The node that says it is in the subject.
type Signal struct {
	Space   string
	Session string
	Kind    string        // a name; [SignalStream] for the words of a stream
	From    string        // who; a later one of the same kind takes the place of an earlier one
	Actor   string        // who, for people; may be empty
	Stream  string        // of a stream: the id of the message that it becomes
	Run     uint64        // of a stream: grows each time that it begins anew; at least 1
	At      int           // of a stream: code points before Text
	Text    string        // of a stream: what comes next
	Data    []byte        // JSON; may be empty
	TTL     time.Duration // how long it holds; zero: it is over as soon as it is said; whole milliseconds
	Ended   bool          // it holds no longer; of a stream: no message comes of it
}

// SignalAsk asks those who have signals that hold in a session, or streams that
// go on, to say them again from the beginning.
type SignalAsk struct{ Space, Session string }

// SignalStream is the kind of the words of a stream.
const SignalStream = "stream"

// Bounds of signals.
const (
	MaxSignalKindBytes = 64
	MaxSignalTextBytes = 16 << 10 // of one signal of a stream between nodes
	MaxSignalDataBytes = 4 << 10
	MaxSignalTTL       = 5 * time.Minute
)

// SignalSubject is where a node says signals of a session.
func SignalSubject(node, space, session string) string {
	return "cw.sig." + Token(node) + "." + Token(space) + "." + Token(session)
}

// SignalSubjects takes what all nodes say in a session.
func SignalSubjects(space, session string) string {
	return "cw.sig.*." + Token(space) + "." + Token(session)
}

// ParseSignalSubject gives the node that said a signal. It returns ErrMalformed
// for anything that [SignalSubject] cannot have written.
func ParseSignalSubject(subject string) (node, space, session string, err error) {
	return parseThree(subject, "cw.sig.")
}

func encodeSignal(m Signal) []byte {
	b := putString(putString(putString(nil, 1, m.Space), 2, m.Session), 3, m.Kind)
	b = putString(putString(putString(b, 4, m.From), 5, m.Actor), 6, m.Stream)
	b = putString(putUint(b, 7, uint64(m.At)), 8, m.Text)
	b = putUint(putBytes(b, 9, m.Data), 10, uint64(m.TTL/time.Millisecond))
	return putUint(putBool(b, 11, m.Ended), 12, m.Run)
}

func decodeSignal(b []byte) (Signal, error) {
	var m Signal
	err := eachField(b, func(f field) (err error) {
		switch f.num {
		case 1:
			m.Space, err = f.name()
		case 2:
			m.Session, err = f.name()
		case 3:
			m.Kind, err = f.text(MaxSignalKindBytes)
		case 4:
			m.From, err = f.text(session.MaxActorBytes)
		case 5:
			m.Actor, err = f.text(session.MaxActorBytes)
		case 6:
			m.Stream, err = f.name()
		case 7:
			var at int64
			err = upTo(f, &at, session.MaxMessageBytes)
			m.At = int(at)
		case 8:
			m.Text, err = f.text(MaxSignalTextBytes)
		case 9:
			m.Data, err = f.bytes()
		case 10:
			m.TTL, err = f.millis()
		case 11:
			m.Ended, err = f.bool()
		case 12:
			m.Run, err = f.uint()
		}
		return err
	})
	return m, err
}

func checkSignal(m Signal) error {
	err := first(name(m.Space, "space"), name(m.Session, "session"), name(m.Kind, "kind"),
		most(len(m.Kind), MaxSignalKindBytes, "kind"),
		most(len(m.From), session.MaxActorBytes, "from"), most(len(m.Actor), session.MaxActorBytes, "actor"),
		need(utf8.ValidString(m.From) && utf8.ValidString(m.Actor) && utf8.ValidString(m.Text), "text"),
		most(len(m.Text), MaxSignalTextBytes, "text"), most(len(m.Data), MaxSignalDataBytes, "data"),
		need(len(m.Data) == 0 || json.Valid(m.Data), "data"), need(m.TTL >= 0 && m.TTL <= MaxSignalTTL, "ttl"))
	if err != nil {
		return err
	}
	if m.Kind != SignalStream {
		return need(m.Stream == "" && m.Text == "" && m.At == 0 && m.Run == 0, "words outside a stream")
	}
	return first(name(m.Stream, "stream"), need(m.At >= 0, "at"), most(m.At, session.MaxMessageBytes, "at"),
		need(m.Run >= 1 && m.Run <= MaxSeq, "run"), need(m.TTL == 0, "ttl of a stream"))
}

func decodeSignalAsk(b []byte) (SignalAsk, error) {
	var m SignalAsk
	err := eachField(b, func(f field) (err error) {
		switch f.num {
		case 1:
			m.Space, err = f.name()
		case 2:
			m.Session, err = f.name()
		}
		return err
	})
	return m, err
}
