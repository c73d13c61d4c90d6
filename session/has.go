package session

import "errors"

// HasMessage reports whether the session has a message of that id here. A
// session that is not here yet has none; one that was erased or has expired is
// refused.
func HasMessage(r Reader, space, session, id string) (bool, error) {
	m, err := shownMeta(r, space, session)
	switch {
	case errors.Is(err, ErrNoSession):
		return false, nil
	case err != nil:
		return false, err
	}
	_, ok, err := locate(r, space, session, m, id)
	return ok, err
}
