package httpapi

import (
	"context"
	"net/http"
	"time"

	"github.com/causeway-sync/causeway/internal/httpapi/push"
	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/live"
	"github.com/causeway-sync/causeway/session"
)

// signalAnswer answers a signal: it is over with saying it.
type signalAnswer struct{}

// signalSchema only describes the body.
type signalSchema struct {
	Kind   string `json:"kind,omitempty" doc:"a name, like typing or presence; absent with stream"`
	From   string `json:"from,omitempty" doc:"who: a later signal of the same kind takes the place of an earlier one; absent: the actor"`
	Data   any    `json:"data,omitempty" doc:"any JSON, at most 4 KiB"`
	TTL    string `json:"ttl,omitempty" doc:"how long it holds, like 10s, at most 5m; absent: it is over as soon as it is said"`
	Stream string `json:"stream,omitempty" doc:"words of a stream: the id of the message that it becomes"`
	Delta  string `json:"delta,omitempty" doc:"the next words, at most 16 KiB"`
	At     *int   `json:"at,omitempty" doc:"code points before them; 0 begins anew; absent: at the end"`
	Ended  bool   `json:"ended,omitempty" doc:"it holds no longer; no message comes of the stream"`
}

// connKey finds the WebSocket over which a request came.
type connKey struct{}

func (a *api) saySignal(w http.ResponseWriter, r *http.Request) error {
	body, err := readBody(w, r)
	if err != nil {
		return err
	}
	space, id, err := target(r)
	if err != nil {
		return err
	}
	who, err := actor(r)
	if err != nil {
		return err
	}
	s, err := readSignal(body)
	if err != nil {
		return err
	}
	s.Space, s.Session, s.Actor = space, id, who
	if s.From == "" {
		s.From = who
	}
	from, _ := r.Context().Value(connKey{}).(*push.Conn)
	if err := a.hub.Say(s, from); err != nil {
		return err
	}
	return reply(w, http.StatusAccepted, &signalAnswer{})
}

// withConn tells the handlers over which WebSocket a request came.
func withConn(ctx context.Context, c *push.Conn) context.Context {
	return context.WithValue(ctx, connKey{}, c)
}

func readSignal(b []byte) (live.Signal, error) {
	s := live.Signal{At: live.AtEnd}
	rd, err := newReader(b)
	if err != nil {
		return s, err
	}
	words := false
	err = rd.members(b, "", func(name string, v []byte) (err error) {
		switch name {
		case "kind":
			if s.Kind, err = rd.str(v, name); err == nil {
				err = checkKind(s.Kind)
			}
		case "from":
			if s.From, err = rd.str(v, name); len(s.From) > session.MaxActorBytes {
				err = problem("too_large", "from is %d bytes", len(s.From)).at(name).limit(session.MaxActorBytes)
			}
		case "data":
			if s.Data, err = rd.value(v, name); len(s.Data) > protocol.MaxSignalDataBytes {
				err = problem("too_large", "data is %d bytes", len(s.Data)).at(name).limit(protocol.MaxSignalDataBytes)
			}
		case "ttl":
			if s.TTL, err = rd.duration(v, name); err == nil {
				s.TTL = min(s.TTL, protocol.MaxSignalTTL).Truncate(time.Millisecond)
			}
		case "stream":
			if s.Stream, err = rd.str(v, name); err == nil {
				err = checkMessageID(s.Stream, name)
			}
		case "delta":
			words = true
			if s.Text, err = exactly(v, name); len(s.Text) > session.MaxMessageBytes {
				err = problem("message_too_large", "delta is %d bytes", len(s.Text)).at(name).limit(session.MaxMessageBytes)
			}
		case "at":
			words = true
			s.At, err = codePoints(v, name)
		case "ended":
			s.Ended, err = rd.boolean(v, name)
		default:
			err = unknownField(name)
		}
		return err
	})
	if err != nil {
		return s, err
	}
	return s, finishSignal(&s, words)
}

func checkKind(kind string) error {
	if err := checkName(kind, "kind"); err != nil {
		return err
	}
	if len(kind) > protocol.MaxSignalKindBytes {
		return problem("bad_name", "kind is %d bytes", len(kind)).at("kind").limit(protocol.MaxSignalKindBytes)
	}
	return nil
}

// finishSignal refuses what does not go together.
func finishSignal(s *live.Signal, words bool) error {
	switch {
	case s.Stream == "" && (s.Kind == "" || s.Kind == protocol.SignalStream):
		return problem("invalid_body", "kind or stream is missing").at("kind")
	case s.Stream == "" && words:
		return problem("invalid_body", "delta and at go with stream").at("stream")
	case s.Stream == "":
		s.At = 0
	case s.Kind != "" && s.Kind != protocol.SignalStream:
		return problem("invalid_body", "either kind or stream").at("kind")
	case s.TTL > 0 || s.Data != nil:
		return problem("invalid_body", "data and ttl do not go with stream").at("stream")
	default:
		s.Kind = protocol.SignalStream
	}
	return nil
}
