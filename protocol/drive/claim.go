package drive

import (
	"crypto/sha256"
	"encoding/hex"
	"errors"
	"fmt"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/session"
)

// Who carries out a tool call is decided in one place while the core can be
// reached: whoever claims it takes the call's slot, a subject of the core's
// claim stream, on the condition that nobody else has. A core node looks into
// its ledger first, because slots are not kept for ever and claims made during
// a cut have none.

// ClaimSlot is the subject of a call's slot.
func ClaimSlot(ask protocol.ClaimAsk) string {
	sum := sha256.Sum256(fmt.Appendf(nil, "%s\x00%s\x00%s", ask.Space, ask.Session, ask.Key))
	return claimSlotPrefix + hex.EncodeToString(sum[:16])
}

const claimSlotPrefix = "cw.slot."

// ClaimSlots takes the slots of all calls.
const ClaimSlots = claimSlotPrefix + ">"

// JudgeClaim tells what a core node's ledger says of a claim that is asked for;
// nil if nothing stands against it. Of a claim that is to be taken over, over
// is the executor.
func JudgeClaim(r session.Reader, ask protocol.ClaimAsk) (told *protocol.ClaimTold, over string, err error) {
	t, err := session.ToolAt(r, ask.Space, ask.Session, ask.Key)
	if err != nil {
		return nil, "", fmt.Errorf("ledger of %s: %w", ask.Session, err)
	}
	held := t.Claim
	switch {
	case held == nil: // what is to be taken over may be on its way
		return nil, "", nil
	case ask.Over == held.ID:
		return nil, held.By, nil
	}
	told = &protocol.ClaimTold{
		Outcome: protocol.ClaimHeld, By: held.By, Node: held.Origin, Claim: held.ID, At: uint64(held.At.UnixMilli()),
	}
	if t.Status == session.ToolDone {
		told.Outcome, told.Result, told.Failed = protocol.ClaimDone, t.Result, t.Failed
	}
	return told, "", nil
}

// JudgeSlot tells whether the slot of a call may be taken in spite of what it
// holds, nil if nothing; else what to answer. over is the executor whose claim
// is to be taken over, empty if none is.
func JudgeSlot(ask protocol.ClaimAsk, held *protocol.ClaimAsk, over string) (take bool, told *protocol.ClaimTold) {
	switch {
	case held == nil:
		return true, nil
	case held.By == ask.By:
		return false, &protocol.ClaimTold{Outcome: protocol.ClaimWon}
	case ask.Over != "" && ask.Over != held.Over && (over == "" || over == held.By):
		return true, nil
	}
	return false, &protocol.ClaimTold{Outcome: protocol.ClaimHeld, By: held.By, Node: held.Node, At: held.At}
}

// ErrNoArbiter says that a claim which only the core may decide could not be
// decided, because the core cannot be reached.
var ErrNoArbiter = errors.New("drive: the core cannot be asked")

// ClaimVerdict is what a node does about a claim when the core has answered, or
// has not.
type ClaimVerdict struct {
	Write      bool // write the claim
	Arbitrated bool // the core granted it
	Degraded   bool // it could not be asked: the claim is only this node's
	// Tool is what the client is told instead, with Err: somebody else has it; or
	// without: the executor has it already, by a claim that is not here yet.
	Tool *session.Tool
	Err  error
}

// JudgeTold decides about a claim of do under key; told is nil if the core
// could not be asked. With coreOnly the claim is then refused.
func JudgeTold(do session.ClaimTool, key string, told *protocol.ClaimTold, coreOnly bool) ClaimVerdict {
	switch {
	case told == nil && coreOnly:
		return ClaimVerdict{Err: ErrNoArbiter}
	case told == nil:
		return ClaimVerdict{Write: true, Degraded: true}
	case told.Outcome == protocol.ClaimWon:
		return ClaimVerdict{Write: true, Arbitrated: true}
	}
	t := session.Tool{Key: key, Status: session.ToolClaimed, Claim: &session.ToolClaim{
		ID: told.Claim, By: told.By, Origin: told.Node, At: told.Time(), Decided: session.DecidedCore,
	}}
	if told.Outcome == protocol.ClaimDone {
		t.Status, t.Result, t.Failed = session.ToolDone, told.Result, told.Failed
		return ClaimVerdict{Tool: &t, Err: &session.ToolError{Err: session.ErrToolDone, Tool: t}}
	}
	if told.By == do.By && do.Over == nil {
		return ClaimVerdict{Tool: &t}
	}
	return ClaimVerdict{Tool: &t, Err: &session.ToolError{Err: session.ErrToolClaimed, Tool: t}}
}
