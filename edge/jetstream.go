package edge

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
)

// apiError is JetStream's answer to what it does not do.
type apiError struct {
	Code        int    `json:"code"`
	ErrCode     int    `json:"err_code"`
	Description string `json:"description"`
}

func (e *apiError) Error() string { return fmt.Sprintf("jetstream: %s (%d)", e.Description, e.ErrCode) }

// JetStream's error codes that have a meaning of their own to us.
const (
	codeMessageTooLarge    = 10054
	codeNoMessage          = 10037
	codeStoreFailed        = 10077 // the stream is full, mostly
	codeWrongSequence      = 10071
	codeWrongSequenceConst = 10164
	codeBadExpectation     = 10193
)

func (e *apiError) class() error {
	switch e.ErrCode {
	case codeWrongSequence, codeWrongSequenceConst:
		return ErrWrongSequence
	case codeMessageTooLarge, codeStoreFailed, codeBadExpectation:
		return ErrRefused
	}
	return ErrUnknownOutcome
}

type publishAnswer struct {
	Error     *apiError `json:"error"`
	Stream    string    `json:"stream"`
	Seq       uint64    `json:"seq"`
	Duplicate bool      `json:"duplicate"`
}

// PublishFrame stores data on the stream behind subject, once, if the last
// message on that subject has the number expect, zero for none. It returns the
// number in the stream, and whether the core knew msgID already; then the
// number is that of the first time. It does not try again by itself. ctx needs a
// deadline. Errors are [ErrDown], [ErrUnknownOutcome], [ErrWrongSequence] and
// [ErrRefused]; after each of them ask for [Link.SubjectHead].
func (l *Link) PublishFrame(ctx context.Context, subject string, data []byte, msgID string, expect uint64,
) (seq uint64, duplicate bool, err error) {
	m := &nats.Msg{Subject: subject, Data: data, Header: nats.Header{}}
	m.Header.Set(nats.MsgIdHdr, msgID)
	m.Header.Set(nats.ExpectedLastSubjSeqHdr, strconv.FormatUint(expect, 10))
	answer, err := l.call(ctx, m)
	if errors.Is(err, ErrNoResponder) {
		err = fmt.Errorf("%w: no response from stream", ErrUnknownOutcome)
	}
	if err != nil {
		return 0, false, fmt.Errorf("publish frame to %s: %w", subject, err)
	}
	var ack publishAnswer
	if err := json.Unmarshal(answer.Data, &ack); err != nil {
		return 0, false, fmt.Errorf("publish frame to %s: %w: %w", subject, ErrUnknownOutcome, err)
	}
	if ack.Error != nil {
		return 0, false, fmt.Errorf("publish frame to %s: %w: %w", subject, ack.Error.class(), ack.Error)
	}
	if ack.Stream == "" || ack.Seq == 0 {
		return 0, false, fmt.Errorf("publish frame to %s: %w: answer names no stream", subject, ErrUnknownOutcome)
	}
	return ack.Seq, ack.Duplicate, nil
}

type storedAnswer struct {
	Error   *apiError `json:"error"`
	Message struct {
		Subject string `json:"subject"`
		Seq     uint64 `json:"seq"`
		Header  []byte `json:"hdrs"`
		Data    []byte `json:"data"`
	} `json:"message"`
}

// SubjectHead asks the stream's leader for the last message on a subject. It
// returns zero and no error if there is none. A leader that was just elected
// may still be replaying its log: a message that was acknowledged can be
// missing for a moment, and a publication with unknown outcome can appear
// later. The expected number of the next publication makes both harmless.
func (l *Link) SubjectHead(ctx context.Context, stream, subject string,
) (seq uint64, header map[string][]string, data []byte, err error) {
	fail := func(err error) (uint64, map[string][]string, []byte, error) {
		return 0, nil, nil, fmt.Errorf("last message on %s: %w", subject, err)
	}
	query, err := json.Marshal(map[string]string{"last_by_subj": subject})
	if err != nil {
		return fail(err)
	}
	m, err := l.call(ctx, &nats.Msg{Subject: "$JS.API.STREAM.MSG.GET." + stream, Data: query})
	if err != nil {
		return fail(err)
	}
	var a storedAnswer
	if err := json.Unmarshal(m.Data, &a); err != nil {
		return fail(fmt.Errorf("%w: %w", ErrUnknownOutcome, err))
	}
	if a.Error != nil {
		if a.Error.ErrCode == codeNoMessage {
			return 0, nil, nil, nil
		}
		return fail(fmt.Errorf("%w: %w", ErrUnknownOutcome, a.Error))
	}
	if a.Message.Subject != subject || a.Message.Seq == 0 {
		return fail(fmt.Errorf("%w: answer is about %q", ErrUnknownOutcome, a.Message.Subject))
	}
	if len(a.Message.Header) > 0 {
		h, err := nats.DecodeHeadersMsg(a.Message.Header)
		if err != nil {
			return fail(fmt.Errorf("%w: %w", ErrUnknownOutcome, err))
		}
		header = h
	}
	return a.Message.Seq, header, a.Message.Data, nil
}
