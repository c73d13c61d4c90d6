package drive

import (
	"encoding/json"
	"fmt"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/replica"
	"github.com/causeway-sync/causeway/session"
)

// Answer is what a write did and what its client is shown.
type Answer struct {
	session.Written
	Grown    protocol.FeedHead // our feed now; note it with [Moved.Note] after the commit unless Replayed
	Document *session.Document // the session, for commands whose answer shows it; else nil
	Tool     *session.Tool     // as it stands now, for claims of tool calls and their outcomes
}

// Write turns a command into ops of our own and applies them, see
// [replica.Replica.Write], and renders the session for answers that show it.
// With a key the answer is kept, so that a retry gets the first answer again, not
// a later state; at another node a retry gets the present state.
func Write(tx session.Tx, rep *replica.Replica, now replica.Now, cmd session.Command) (Answer, error) {
	var a Answer
	var err error
	if a.Written, err = rep.Write(tx, now, cmd); err != nil {
		return a, err
	}
	a.Grown.Feed = protocol.Feed{Space: cmd.Space, Origin: rep.Origin()}
	if a.Grown.Head, err = replica.HeadOf(tx, a.Grown.Feed); err != nil {
		return a, err
	}
	if a.Document, err = answerDocument(tx, cmd, a.Written); err != nil {
		return a, err
	}
	a.Tool, err = answerTool(tx, cmd, a.Written)
	return a, err
}

// answerTool shows a tool call. A retry is shown how it stands now: who repeats
// a claim must learn that it is done.
func answerTool(r session.Reader, cmd session.Command, w session.Written) (*session.Tool, error) {
	switch cmd.Do.(type) {
	case session.ClaimTool, session.CompleteTool:
		t, err := session.ToolOfOp(r, &w.Ops[0])
		return &t, err
	}
	return nil, nil
}

func answerDocument(tx session.Tx, cmd session.Command, w session.Written) (*session.Document, error) {
	switch cmd.Do.(type) {
	case session.Append, session.EditText, session.EditMessage, session.RedactMessage, session.EraseSession,
		session.ExpireSession, session.ClaimTool, session.CompleteTool:
		return nil, nil
	}
	if w.Replayed {
		kept, err := tx.Get(answerKey(cmd.Space, cmd.Session, cmd.Key))
		if err != nil {
			return nil, err
		}
		if kept != nil {
			var doc session.Document
			if err := json.Unmarshal(kept, &doc); err != nil {
				return nil, fmt.Errorf("kept answer of session %s: %w", cmd.Session, err)
			}
			return &doc, nil
		}
	}
	doc, err := session.View(tx, cmd.Space, cmd.Session)
	if err != nil {
		return nil, fmt.Errorf("view session %s: %w", cmd.Session, err)
	}
	if cmd.Key == "" || w.Replayed {
		return &doc, nil
	}
	b, err := json.Marshal(doc)
	if err != nil {
		return nil, fmt.Errorf("keep answer of session %s: %w", cmd.Session, err)
	}
	if len(b) > MaxAnswerBytes {
		return &doc, nil
	}
	return &doc, tx.Put(answerKey(cmd.Space, cmd.Session, cmd.Key), b)
}

func answerPrefix(space, id string) []byte {
	return append(append(append(append([]byte("y/"), space...), 0), id...), 0)
}

func answerKey(space, id, key string) []byte { return append(answerPrefix(space, id), key...) }

// dropAnswers removes answers kept for retries in an erased session, at most
// PurgeBatch of them.
func dropAnswers(tx session.Tx, g replica.Gone) error {
	var keys [][]byte
	for e, err := range tx.Scan(answerPrefix(g.Space, g.Session), nil, false) {
		if err != nil {
			return err
		}
		if keys = append(keys, e.Key); len(keys) == PurgeBatch {
			break
		}
	}
	for _, k := range keys {
		if err := tx.Delete(k); err != nil {
			return err
		}
	}
	return nil
}
