package edge

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"maps"
	"math/rand/v2"
	"net"
	"slices"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
)

// Errors of a link. After any error of a publication the caller asks for the
// head of the subject, and goes on from there.
var (
	// ErrDown says that the link is not up; nothing was sent.
	ErrDown = errors.New("edge: link is down")
	// ErrUnknownOutcome says that something was sent and no answer came, or one
	// that says nothing: it may be stored, now or a little later, or not.
	ErrUnknownOutcome = errors.New("edge: outcome is unknown")
	// ErrWrongSequence says that the subject's last message is not the expected
	// one; nothing was stored. A core of one node answers so to a repeated
	// publication as well, where a cluster reports a duplicate.
	ErrWrongSequence = errors.New("edge: wrong last sequence")
	// ErrRefused says that the core will not store this: too large, the stream is
	// full, or the publication is malformed.
	ErrRefused = errors.New("edge: refused by the core")
	// ErrNoResponder says that nobody listens on the subject of a request.
	ErrNoResponder = errors.New("edge: nobody listens")
)

// LinkConfig says where a link leads and how patient it is.
type LinkConfig struct {
	// Node is the name of the node at this end; its inbox carries it.
	Node string
	// Servers are nats:// URLs of core nodes, tried in random order. Nothing but
	// these is ever dialled.
	Servers []string
	// InProcess, when not nil, replaces Servers: the server in this process.
	InProcess interface {
		InProcessConn() (net.Conn, error)
	}
	// DialTimeout bounds connecting and the handshake.
	DialTimeout time.Duration
	// PingInterval and MaxPingsOut tell a dead link: no answer to the last
	// MaxPingsOut pings when the next is due. A link whose round trip takes
	// longer than their product never stays up.
	PingInterval time.Duration
	MaxPingsOut  int
	// WriteTimeout bounds one write to the socket.
	WriteTimeout time.Duration
	// RetryMin and RetryMax bound the wait before a reconnect: a random time up
	// to RetryMin at first, doubled with each failure up to RetryMax.
	RetryMin time.Duration
	RetryMax time.Duration
	// OnUp and OnDown are called from Run, one at a time, in the order in which
	// it happened; they must not block. err may be nil. The end of Run itself is
	// not told.
	OnUp   func(server string)
	OnDown func(err error)
	Log    *slog.Logger
}

// DefaultLinkConfig notices a dead link within 5 s.
func DefaultLinkConfig() LinkConfig {
	return LinkConfig{
		DialTimeout:  5 * time.Second,
		PingInterval: time.Second,
		MaxPingsOut:  3,
		WriteTimeout: 30 * time.Second,
		RetryMin:     250 * time.Millisecond,
		RetryMax:     10 * time.Second,
	}
}

// Validate reports everything that is wrong at once.
func (c LinkConfig) Validate() error {
	var errs []error
	bad := func(format string, args ...any) { errs = append(errs, fmt.Errorf("edge: link: "+format, args...)) }
	if c.Node == "" || strings.ContainsAny(c.Node, " \t\r\n") {
		bad("node: got %q, want a name without spaces", c.Node)
	}
	if c.InProcess == nil && len(c.Servers) == 0 {
		bad("servers: got none, want at least one nats://host:port")
	}
	for name, d := range map[string]time.Duration{"dial timeout": c.DialTimeout, "ping interval": c.PingInterval,
		"write timeout": c.WriteTimeout, "shortest retry": c.RetryMin} {
		if d < 10*time.Millisecond {
			bad("%s: got %v, want at least 10ms", name, d)
		}
	}
	if c.RetryMax < c.RetryMin {
		bad("longest retry: got %v, want at least %v", c.RetryMax, c.RetryMin)
	}
	if c.MaxPingsOut < 1 {
		bad("pings out: got %d, want at least 1", c.MaxPingsOut)
	}
	slices.SortFunc(errs, func(a, b error) int { return strings.Compare(a.Error(), b.Error()) })
	return errors.Join(errs...)
}

// Link is a NATS connection that comes and goes. It keeps nothing that could
// not be sent, repeats nothing, and goes nowhere but where it was told to.
// Its methods may be called from any goroutine, at any time.
type Link struct {
	cfg LinkConfig
	log *slog.Logger

	dropped    atomic.Uint64
	reconnects atomic.Uint64

	mu       sync.Mutex // guards what follows
	nc       *nats.Conn // nil before Run
	up       bool
	ups      uint64 // times that it came up
	subs     map[uint64]*subscription
	inflight map[uint64]context.CancelCauseFunc // calls to end when the link goes down
	nextID   uint64
}

type subscription struct {
	subject string
	handle  func(subject, reply string, data []byte)
	into    chan *nats.Msg     // takes messages in the place of handle, if it is not nil
	sub     *nats.Subscription // nil before Run
}

// NewLink makes a link that is down until Run.
func NewLink(cfg LinkConfig) (*Link, error) {
	if err := cfg.Validate(); err != nil {
		return nil, err
	}
	l := &Link{
		cfg:      cfg,
		log:      cfg.Log,
		subs:     make(map[uint64]*subscription),
		inflight: make(map[uint64]context.CancelCauseFunc),
	}
	if l.log == nil {
		l.log = slog.New(slog.DiscardHandler)
	}
	return l, nil
}

// linkEvent is a change of the connection, in order.
type linkEvent struct {
	up     bool
	server string
	err    error
	closed bool
}

// Run connects, and reconnects for ever, until ctx ends. It returns nil then.
// It may be called once.
func (l *Link) Run(ctx context.Context) error {
	events := make(chan linkEvent, 16) // never closed; senders leave by ctx
	nc, err := l.connect(ctx, events)
	if err != nil {
		return err
	}
	defer nc.Close()
	if err := l.attach(nc); err != nil {
		return err
	}
	for {
		select {
		case <-ctx.Done():
			l.hangUp(context.Cause(ctx))
			return nil
		case e := <-events:
			switch {
			case e.closed:
				l.setDown(e.err)
				return fmt.Errorf("edge: link closed for good: %w", cmpErr(e.err, ErrDown))
			case e.up:
				l.setUp(e.server)
			default:
				l.setDown(e.err)
			}
		}
	}
}

func cmpErr(err, otherwise error) error {
	if err != nil {
		return err
	}
	return otherwise
}

func (l *Link) connect(ctx context.Context, events chan<- linkEvent) (*nats.Conn, error) {
	tell := func(e linkEvent) {
		select {
		case events <- e:
		case <-ctx.Done():
		}
	}
	up := func(nc *nats.Conn) { tell(linkEvent{up: true, server: nc.ConnectedServerName()}) }
	opts := []nats.Option{
		nats.Name(l.cfg.Node),
		nats.NoEcho(),
		nats.MaxReconnects(-1),
		nats.RetryOnFailedConnect(true),
		nats.ReconnectBufSize(-1),
		nats.CustomReconnectDelay(l.retryDelay),
		nats.IgnoreDiscoveredServers(),
		nats.IgnoreAuthErrorAbort(),
		nats.Timeout(l.cfg.DialTimeout),
		nats.PingInterval(l.cfg.PingInterval),
		nats.MaxPingsOutstanding(l.cfg.MaxPingsOut),
		nats.FlusherTimeout(l.cfg.WriteTimeout),
		nats.ReconnectOnFlusherError(),
		nats.CustomInboxPrefix("_INBOX." + subjectToken(l.cfg.Node)),
		nats.NoCallbacksAfterClientClose(),
		nats.ConnectHandler(up),
		nats.ReconnectHandler(func(nc *nats.Conn) { l.reconnects.Add(1); up(nc) }),
		nats.DisconnectErrHandler(func(_ *nats.Conn, err error) { tell(linkEvent{err: err}) }),
		nats.ClosedHandler(func(nc *nats.Conn) { tell(linkEvent{closed: true, err: nc.LastError()}) }),
		nats.ErrorHandler(l.asyncError),
		nats.ReconnectErrHandler(func(_ *nats.Conn, err error) {
			l.log.LogAttrs(ctx, slog.LevelDebug, "link not reached", slog.Any("error", err))
		}),
	}
	url := strings.Join(l.cfg.Servers, ",")
	if l.cfg.InProcess != nil {
		url = ""
		opts = append(opts, nats.InProcessServer(l.cfg.InProcess))
	} else {
		opts = append(opts, nats.SetCustomDialer(linkDialer{ctx: ctx, timeout: l.cfg.DialTimeout}))
	}
	nc, err := nats.Connect(url, opts...)
	if err != nil {
		return nil, fmt.Errorf("edge: link: %w", err)
	}
	return nc, nil
}

// linkDialer dials until its context ends, and closes what it dialled then, so
// that a handshake with a silent peer does not outlive Run.
type linkDialer struct {
	ctx     context.Context // of Run
	timeout time.Duration
}

// Dial implements the interface that NATS asks for.
func (d linkDialer) Dial(network, addr string) (net.Conn, error) {
	nd := net.Dialer{Timeout: d.timeout}
	c, err := nd.DialContext(d.ctx, network, addr)
	if err != nil {
		return nil, err
	}
	lc := &linkConn{Conn: c}
	lc.stop = context.AfterFunc(d.ctx, func() {
		_ = c.Close() // the reader gets the error
	})
	return lc, nil
}

type linkConn struct {
	net.Conn
	stop func() bool
}

// Close ends the connection and its watch over the context.
func (c *linkConn) Close() error {
	c.stop()
	return c.Conn.Close()
}

// retryDelay is the full jitter of exponential backoff: it spreads the nodes
// that lost the same core node at the same time.
func (l *Link) retryDelay(attempt int) time.Duration {
	limit := l.cfg.RetryMin
	for i := 1; i < attempt && limit < l.cfg.RetryMax; i++ {
		limit *= 2
	}
	return rand.N(min(limit, l.cfg.RetryMax)) + time.Millisecond
}

// attach adopts the connection and subscribes what was asked for before.
func (l *Link) attach(nc *nats.Conn) error {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nc != nil {
		return errors.New("edge: link was run twice")
	}
	l.nc = nc
	for _, id := range slices.Sorted(maps.Keys(l.subs)) {
		if err := l.subs[id].start(nc); err != nil {
			return err
		}
	}
	return nil
}

func (s *subscription) start(nc *nats.Conn) error {
	if s.into != nil {
		return s.startInto(nc)
	}
	sub, err := nc.Subscribe(s.subject, func(m *nats.Msg) { s.handle(m.Subject, m.Reply, m.Data) })
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", s.subject, err)
	}
	s.sub = sub
	return nil
}

func (l *Link) setUp(server string) {
	l.mu.Lock()
	l.up = true
	l.ups++
	l.mu.Unlock()
	l.log.Info("link up", slog.String("core", server))
	if l.cfg.OnUp != nil {
		l.cfg.OnUp(server)
	}
}

func (l *Link) setDown(err error) {
	if !l.hangUp(err) {
		return
	}
	l.log.Info("link down", slog.Any("error", err))
	if l.cfg.OnDown != nil {
		l.cfg.OnDown(err)
	}
}

// hangUp ends all calls that wait for an answer: it would never come. It
// returns whether the link was up.
func (l *Link) hangUp(err error) bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	was := l.up
	l.up = false
	for id, cancel := range l.inflight {
		cancel(fmt.Errorf("link lost: %w", cmpErr(err, ErrDown)))
		delete(l.inflight, id)
	}
	return was
}

func (l *Link) asyncError(_ *nats.Conn, sub *nats.Subscription, err error) {
	subject := ""
	if sub != nil {
		subject = sub.Subject
	}
	if errors.Is(err, nats.ErrSlowConsumer) {
		l.dropped.Add(1)
	}
	l.log.Warn("link subscription", slog.String("subject", subject), slog.Any("error", err))
}

// Up says whether the link was up a moment ago.
func (l *Link) Up() bool {
	l.mu.Lock()
	defer l.mu.Unlock()
	return l.up
}

// MoveOn leaves the core node for the next one of Servers; it does not wait. It
// is for a core node whose NATS server answers and which is of no use otherwise.
func (l *Link) MoveOn() {
	l.mu.Lock()
	nc, up := l.nc, l.up
	l.mu.Unlock()
	if !up || len(l.cfg.Servers) < 2 {
		return
	}
	if err := nc.ForceReconnect(); err != nil {
		l.log.Warn("link not moved", slog.Any("error", err))
	}
}

// RTT measures the round trip to the core node; ctx needs a deadline.
func (l *Link) RTT(ctx context.Context) (time.Duration, error) {
	l.mu.Lock()
	nc, up := l.nc, l.up
	l.mu.Unlock()
	if !up {
		return 0, ErrDown
	}
	began := time.Now()
	if err := nc.FlushWithContext(ctx); err != nil {
		return 0, fmt.Errorf("round trip: %w: %w", ErrUnknownOutcome, err)
	}
	return time.Since(began), nil
}

// LinkStats counts what a link went through.
type LinkStats struct {
	Reconnects    uint64
	SlowConsumers uint64 // times that a subscription lost messages
}

// Stats returns the present counts.
func (l *Link) Stats() LinkStats {
	return LinkStats{Reconnects: l.reconnects.Load(), SlowConsumers: l.dropped.Load()}
}

// call is one request on the link, ended by its context or by the link's loss.
func (l *Link) call(ctx context.Context, m *nats.Msg) (*nats.Msg, error) {
	if _, ok := ctx.Deadline(); !ok {
		return nil, errors.New("edge: a request needs a deadline")
	}
	ctx, cancel := context.WithCancelCause(ctx)
	defer cancel(nil)
	l.mu.Lock()
	if !l.up {
		l.mu.Unlock()
		return nil, ErrDown
	}
	nc, id := l.nc, l.nextID
	l.nextID++
	l.inflight[id] = cancel
	l.mu.Unlock()
	defer func() {
		l.mu.Lock()
		delete(l.inflight, id)
		l.mu.Unlock()
	}()
	answer, err := nc.RequestMsgWithContext(ctx, m)
	switch {
	case err == nil:
		return answer, nil
	case errors.Is(err, nats.ErrNoResponders):
		return nil, fmt.Errorf("%w on %s", ErrNoResponder, m.Subject)
	case errors.Is(err, nats.ErrMaxPayload):
		return nil, fmt.Errorf("%w: %w", ErrRefused, err)
	case errors.Is(err, nats.ErrReconnectBufExceeded):
		return nil, fmt.Errorf("%w: %w", ErrDown, err)
	case ctx.Err() != nil:
		err = context.Cause(ctx)
	}
	return nil, fmt.Errorf("%w: %w", ErrUnknownOutcome, err)
}

// Request sends data and waits for one answer; ctx needs a deadline. Errors are
// [ErrDown], [ErrNoResponder], [ErrUnknownOutcome] and [ErrRefused].
func (l *Link) Request(ctx context.Context, subject string, data []byte) ([]byte, error) {
	m, err := l.call(ctx, &nats.Msg{Subject: subject, Data: data})
	if err != nil {
		return nil, fmt.Errorf("request to %s: %w", subject, err)
	}
	return m.Data, nil
}

// Publish sends data to whoever listens now. An error means that it was not
// sent; no error does not mean that it arrived.
func (l *Link) Publish(subject string, data []byte) error {
	l.mu.Lock()
	nc, up := l.nc, l.up
	l.mu.Unlock()
	if !up {
		return fmt.Errorf("publish to %s: %w", subject, ErrDown)
	}
	if err := nc.Publish(subject, data); err != nil {
		class := ErrDown
		if errors.Is(err, nats.ErrMaxPayload) || errors.Is(err, nats.ErrBadSubject) {
			class = ErrRefused
		}
		return fmt.Errorf("publish to %s: %w: %w", subject, class, err)
	}
	return nil
}

// Subscribe calls handle for every message on subject, in order, one at a time,
// until cancel is called; across reconnects, with what was published meanwhile
// missing. It may be called before Run. handle owns data.
func (l *Link) Subscribe(subject string, handle func(subject, reply string, data []byte)) (cancel func(), err error) {
	return l.subscribe(&subscription{subject: subject, handle: handle})
}

func (l *Link) subscribe(s *subscription) (cancel func(), err error) {
	l.mu.Lock()
	defer l.mu.Unlock()
	if l.nc != nil {
		if err := s.start(l.nc); err != nil {
			return nil, err
		}
	}
	id := l.nextID
	l.nextID++
	l.subs[id] = s
	return func() { l.unsubscribe(id) }, nil
}

func (l *Link) unsubscribe(id uint64) {
	l.mu.Lock()
	s, ok := l.subs[id]
	delete(l.subs, id)
	l.mu.Unlock()
	if !ok || s.sub == nil {
		return
	}
	err := s.sub.Unsubscribe()
	if err != nil && !errors.Is(err, nats.ErrConnectionClosed) && !errors.Is(err, nats.ErrBadSubscription) {
		l.log.Warn("unsubscribe", slog.String("subject", s.subject), slog.Any("error", err))
	}
}

// subjectToken makes a node name fit for one token of a subject.
func subjectToken(name string) string {
	return strings.NewReplacer(".", "%2E", "*", "%2A", ">", "%3E").Replace(name)
}
