package session

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"strings"

	"github.com/causeway-sync/causeway/vclock"
)

// Seal tells apart versions that name the same ops where these have other
// content: at a node whose feed forked (a copied or restored store that cannot
// tell), or after an op that was lost for good. Places in a text mean something
// only in the text that the client saw, so what clients of texts give back as
// base carries one. It is the same at every node that holds the same feeds: it
// is made of the chain of each feed at the version. The empty seal is that of a
// version that came without one, and is not checked.
type Seal string

// sealBytes of the hash are in a seal. Nobody gains by forging one.
const sealBytes = 6

// SealOf gives the seal of a version of a session. It costs a read for each
// origin. A version that names ops that are not held is a damaged record.
func SealOf(r Reader, space string, at vclock.Vector) (Seal, error) {
	seal, lacks, err := sealAt(r, space, at)
	if err == nil && lacks != (vclock.Dot{}) {
		err = missing(OpKey(space, lacks.Origin, lacks.Seq))
	}
	return seal, err
}

// sealAt is SealOf for a version that a client gave. It names an op of it that
// is not held, if there is one.
func sealAt(r Reader, space string, at vclock.Vector) (seal Seal, lacks vclock.Dot, err error) {
	h := sha256.New()
	for origin, seq := range at.All() {
		dot := vclock.Dot{Origin: origin, Seq: seq}
		rec, ok, err := RecordAt(r, space, dot)
		if err != nil || !ok {
			return "", dot, err
		}
		h.Write(rec.Chain[:])
	}
	var sum [sha256.Size]byte
	return Seal(base64.RawURLEncoding.EncodeToString(h.Sum(sum[:0])[:sealBytes])), vclock.Dot{}, nil
}

// sealMark stands between a version and its seal; no version token has it.
const sealMark = "."

// SealedVersion writes a version with its seal, if there is one.
func SealedVersion(at vclock.Vector, s Seal) string {
	if s == "" {
		return at.String()
	}
	return at.String() + sealMark + string(s)
}

// ParseSealed reads what SealedVersion wrote. Errors are as for [vclock.Parse].
func ParseSealed(token string) (vclock.Vector, Seal, error) {
	token, seal, sealed := strings.Cut(token, sealMark)
	if b, err := base64.RawURLEncoding.Strict().DecodeString(seal); sealed && (err != nil || len(b) != sealBytes) {
		return vclock.Vector{}, "", fmt.Errorf("seal of a version: %w", vclock.ErrMalformed)
	}
	at, err := vclock.Parse(token)
	return at, Seal(seal), err
}

// unsealed refuses a base that names other ops than those that this node holds
// under their names.
func (do *EditText) unsealed(r Reader, space string) error {
	if do.Base == nil || do.Seal == "" {
		return nil
	}
	seal, _, err := sealAt(r, space, *do.Base)
	if err == nil && seal != do.Seal {
		err = fmt.Errorf("ops of version %v have other content here: %w", *do.Base, ErrBaseUnknown)
	}
	return err
}

// seal seals the version of an answer that may come back as a base.
func (w *Written) seal(r Reader, cmd *Command) (err error) {
	if _, ok := cmd.Do.(EditText); ok {
		w.Seal, err = SealOf(r, cmd.Space, w.Version)
	}
	return err
}
