package httpapi

import (
	"crypto/rand"
	"crypto/sha256"
	"encoding/base32"
	"errors"
	"io"
	"net/http"
	"net/url"
	"slices"
	"strconv"
	"strings"
	"time"
	"unicode/utf8"

	"github.com/causeway-sync/causeway/session"
	"github.com/causeway-sync/causeway/vclock"
)

// Headers of the contract, in canonical form.
const (
	headerKey        = "Idempotency-Key"
	headerDurability = "Causeway-Durability"
	headerActor      = "Causeway-Actor"
	headerVersion    = "Causeway-Version"
	headerReplayed   = "Causeway-Replayed"
	headerIfMatch    = "If-Match"
)

// checkName refuses what cannot name a space, a session or a message.
func checkName(s, field string) error {
	if err := checkText(s, field); err != nil {
		return err
	}
	if len(s) > session.MaxNameBytes {
		return problem("bad_name", "%s is %d bytes", field, len(s)).at(field).limit(session.MaxNameBytes)
	}
	if !session.ValidName(s) {
		return problem("bad_name", "%s is %.60q, want [A-Za-z0-9][A-Za-z0-9._~:-]{0,127}", field, s).at(field)
	}
	return nil
}

func checkText(s, field string) error {
	if strings.IndexByte(s, 0) >= 0 {
		return problem("nul_in_name", "%s holds a NUL character", field).at(field)
	}
	if !utf8.ValidString(s) {
		return problem("invalid_utf8", "%s is not UTF-8", field).at(field)
	}
	return nil
}

// target reads and checks the names in the path; absent ones stay empty.
func target(r *http.Request) (space, id string, err error) {
	space = r.PathValue("space")
	if err := checkName(space, "space"); err != nil {
		return "", "", err
	}
	if strings.Contains(r.Pattern, "{session}") {
		id = r.PathValue("session")
		err = checkName(id, "session")
	}
	return space, id, err
}

// readBody takes the body, at most MaxBodyBytes of it, and checks its type.
func readBody(w http.ResponseWriter, r *http.Request) ([]byte, error) {
	if err := checkMediaType(r); err != nil {
		return nil, err
	}
	tooLarge := problem("body_too_large", "a body may be %d bytes", MaxBodyBytes).limit(MaxBodyBytes)
	if r.ContentLength > MaxBodyBytes {
		w.Header().Set("Connection", "close") // rather than read what nobody wants
		return nil, tooLarge
	}
	if r.ContentLength >= 0 {
		b := make([]byte, r.ContentLength)
		if _, err := io.ReadFull(r.Body, b); err != nil {
			return nil, problem("malformed_json", "the body ended early")
		}
		return b, nil
	}
	b, err := io.ReadAll(http.MaxBytesReader(w, r.Body, MaxBodyBytes))
	if _, ok := errors.AsType[*http.MaxBytesError](err); ok {
		return nil, tooLarge
	}
	if err != nil {
		return nil, problem("malformed_json", "the body ended early")
	}
	return b, nil
}

func checkMediaType(r *http.Request) error {
	if e := r.Header.Get("Content-Encoding"); e != "" && e != "identity" {
		return problem("unsupported_media_type", "Content-Encoding is %.40q, want none", e).at("Content-Encoding")
	}
	t := r.Header.Get("Content-Type")
	if t == "" || t == "application/json" {
		return nil
	}
	media, params, _ := strings.Cut(t, ";")
	media = strings.ToLower(strings.TrimSpace(media))
	switch media {
	case "application/json", "application/merge-patch+json":
	case "application/x-www-form-urlencoded": // what curl -d says when it is not told; the body is read as JSON all the same
		return nil
	default:
		return problem("unsupported_media_type",
			"Content-Type is %.60q, want application/json (curl --json sends it)", t).at("Content-Type")
	}
	if name, v, _ := strings.Cut(strings.ToLower(params), "="); strings.TrimSpace(name) == "charset" &&
		strings.Trim(v, `" `) != "utf-8" {
		return problem("unsupported_media_type", "charset is %.40q, want utf-8", v).at("Content-Type")
	}
	return nil
}

// checkAccept refuses clients that would not take JSON.
func checkAccept(r *http.Request) error {
	accept := r.Header.Get("Accept")
	if accept == "" || accept == "*/*" || accept == "application/json" {
		return nil
	}
	for part := range strings.SplitSeq(strings.Join(r.Header.Values("Accept"), ","), ",") {
		media, q, _ := strings.Cut(strings.ToLower(part), ";")
		if q = strings.ReplaceAll(q, " ", ""); q == "q=0" || q == "q=0.0" {
			continue
		}
		switch media = strings.TrimSpace(media); {
		case media == "*/*", media == "application/*", media == "application/json",
			media == "application/problem+json":
			return nil
		}
	}
	return problem("not_acceptable", "Accept is %.80q", accept).at("Accept")
}

// command begins a command from path and headers. body is what came, for the
// digest that tells a retry from another request under the same key.
func command(r *http.Request, body []byte) (session.Command, Durability, error) {
	space, id, err := target(r)
	if err != nil {
		return session.Command{}, "", err
	}
	cmd := session.Command{Space: space, Session: id}
	if cmd.Actor, err = actor(r); err != nil {
		return cmd, "", err
	}
	if cmd.Key, err = idempotencyKey(r); err != nil {
		return cmd, "", err
	}
	if cmd.Key != "" {
		cmd.Request = requestDigest(r, body)
	}
	if cmd.IfMatch, err = ifMatch(r); err != nil {
		return cmd, "", err
	}
	level, err := durability(r)
	return cmd, level, err
}

// requestDigest is the first half of SHA-256 over method, decoded path and
// body, so that the same request has the same digest at every node.
func requestDigest(r *http.Request, body []byte) session.Digest {
	h := sha256.New()
	for _, s := range []string{r.Method, "\x00", r.URL.Path, "\x00"} {
		io.WriteString(h, s) // a hash never fails
	}
	h.Write(body)
	var sum [sha256.Size]byte
	return session.Digest(h.Sum(sum[:0])[:len(session.Digest{})])
}

func idempotencyKey(r *http.Request) (string, error) {
	values := r.Header[headerKey]
	if len(values) == 0 {
		return "", nil
	}
	k := values[0]
	if len(values) > 1 || k == "" || len(k) > session.MaxKeyBytes {
		return "", problem("bad_header", "%s must be one value of 1 to %d bytes", headerKey, session.MaxKeyBytes).
			at(headerKey).limit(session.MaxKeyBytes)
	}
	for i := range len(k) {
		if k[i] < ' ' || k[i] > '~' {
			return "", problem("bad_header", "%s must be printable ASCII", headerKey).at(headerKey)
		}
	}
	return k, nil
}

func actor(r *http.Request) (string, error) {
	a := r.Header.Get(headerActor)
	if len(a) > session.MaxActorBytes {
		return "", problem("bad_header", "%s is %d bytes", headerActor, len(a)).
			at(headerActor).limit(session.MaxActorBytes)
	}
	if !utf8.ValidString(a) || strings.ContainsFunc(a, func(c rune) bool { return c < ' ' || c == 0x7f }) {
		return "", problem("bad_header", "%s must be UTF-8 without control characters", headerActor).at(headerActor)
	}
	return a, nil
}

func durability(r *http.Request) (Durability, error) {
	switch v := r.Header.Get(headerDurability); v {
	case "":
		return "", nil
	case string(Local):
		return Local, nil
	case string(Core):
		return Core, nil
	default:
		return "", problem("bad_header", "%s is %.40q, want local or core", headerDurability, v).at(headerDurability)
	}
}

// ifMatch reads an entity tag, with or without its quotes. "*" asks for no
// particular version.
func ifMatch(r *http.Request) (*vclock.Vector, error) {
	v := r.Header.Get(headerIfMatch)
	if v == "" || v == "*" {
		return nil, nil
	}
	if n := len(v); n >= 2 && v[0] == '"' && v[n-1] == '"' {
		v = v[1 : n-1]
	}
	at, err := version(v, headerIfMatch)
	return &at, err
}

func version(token, field string) (vclock.Vector, error) {
	v, _, err := session.ParseSealed(token)
	if err != nil {
		return v, problem("bad_version", "%s: %v", field, err).at(field)
	}
	return v, nil
}

// sessionID names a session whose client gave no id. With a key the name
// follows from the key, so that a retry finds the session it made.
func sessionID(space, key string) string {
	enc := base32.NewEncoding("0123456789abcdefghjkmnpqrstvwxyz").WithPadding(base32.NoPadding)
	if key == "" {
		return "s-" + strings.ToLower(rand.Text()[:20])
	}
	sum := sha256.Sum256([]byte("session\x00" + space + "\x00" + key))
	return "k-" + enc.EncodeToString(sum[:15])
}

// query reads parameters and keeps the first fault.
type query struct {
	values url.Values
	err    error
}

func newQuery(r *http.Request) *query {
	values, err := url.ParseQuery(r.URL.RawQuery)
	q := &query{values: values}
	if err != nil {
		q.err = problem("bad_query", "%v", err)
	}
	return q
}

func (q *query) fail(name, want string) {
	if q.err == nil {
		q.err = problem("bad_query", "%s is %.60q, want %s", name, q.values.Get(name), want).at(name)
	}
}

// str gives a parameter that holds text.
func (q *query) str(name string) string {
	s := q.values.Get(name)
	if strings.IndexByte(s, 0) >= 0 || !utf8.ValidString(s) {
		q.fail(name, "UTF-8 text without NUL")
	}
	return s
}

// limit gives the page size.
func (q *query) limit() int {
	s := q.values.Get("limit")
	if s == "" {
		return DefaultPage
	}
	n, err := strconv.ParseUint(s, 10, 31)
	if err != nil || n == 0 {
		q.fail("limit", "a number from 1")
	}
	return int(min(n, MaxPage))
}

// oneOf gives a parameter with few values; the empty one stands for the first.
func (q *query) oneOf(name string, values ...string) string {
	s := q.values.Get(name)
	if s == "" {
		return values[0]
	}
	if slices.Contains(values, s) {
		return s
	}
	q.fail(name, strings.TrimPrefix(strings.Join(values, " or "), " or "))
	return ""
}

// wait gives the duration of a long poll.
func (q *query) wait() time.Duration {
	s := q.values.Get("wait")
	if s == "" || s == "0" {
		return 0
	}
	d, err := time.ParseDuration(s)
	if err != nil || d < 0 {
		q.fail("wait", `a duration like "30s"`)
	}
	return min(d, MaxWait)
}

// since gives the version from which on changes are wanted.
func (q *query) since() vclock.Vector {
	v, err := version(q.values.Get("since"), "since")
	if err != nil && q.err == nil {
		q.err = err
	}
	return v
}
