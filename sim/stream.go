package sim

import (
	"fmt"
	"slices"
	"time"

	"github.com/causeway-sync/causeway/protocol"
	"github.com/causeway-sync/causeway/protocol/drive"
)

// partitions of a simulated cluster.
const partitions = 4

// Behaviour of JetStream 2.15 as far as it matters here.
const (
	dedupWindow  = 2 * time.Minute
	electionMin  = 4 * time.Second
	electionMax  = 9 * time.Second
	consumerPull = 128 // messages at a time
	retryRead    = time.Second
)

// stream models one JetStream stream with a copy at every core node: a leader,
// a quorum, acknowledgements that get lost, a window of message ids, the check
// of the expected last sequence, and copies that lose messages in silence.
//
// Invariant: every committed message is on a majority of the copies, unless a
// fault took it away.
type stream struct {
	w         *world
	partition int
	id        drive.StreamID
	made      int // how often
	copies    map[*node]*replicaLog
	leader    *node
	old       *node         // was the leader, cannot reach the new one and does not know of it
	until     time.Duration // then it does
	term      int
	committed uint64
	pending   []*proposal         // of the leader, in order, not committed
	ids       map[string]heldID   // of the leader's memory, by message id
	subjects  map[string][]uint64 // numbers of the messages under a subject
	electing  bool
	catching  bool
	readers   []*reader
}

// replicaLog is one server's copy. A nil message is one that it lost in silence.
type replicaLog struct {
	log  []*stored
	term int // of the leader that it followed last
}

// heldID is where and when a message id was stored.
type heldID struct {
	seq uint64
	at  time.Duration
}

type stored struct {
	subject, id string
	data        []byte
	at          time.Duration
}

// proposal is a message that the leader has taken and not committed. No copy of
// the stream has it yet.
type proposal struct {
	message *stored
	seq     uint64
	ready   time.Duration // when the followers that are there have it
	cause   uint64        // for the trace
	reply   func()
}

// published is the leader's answer to a publication.
type published struct {
	seq  uint64
	kind protocol.FailureKind
	ok   bool
}

func newStream(w *world, p int) *stream {
	s := &stream{w: w, partition: p}
	s.recreate()
	return s
}

// recreate makes the stream anew, empty.
func (s *stream) recreate() {
	s.made++
	s.id = drive.StreamID(fmt.Sprintf("stream-%d-%d", s.partition, s.made))
	s.copies = map[*node]*replicaLog{}
	for _, c := range s.w.cores {
		s.copies[c] = &replicaLog{}
	}
	s.committed, s.pending = 0, nil
	s.ids, s.subjects = map[string]heldID{}, map[string][]uint64{}
	s.watch()
}

// reached lists the servers that run and can talk with c, c included if it runs.
func (s *stream) reached(c *node) []*node {
	if !c.listens() {
		return nil
	}
	var list []*node
	for _, o := range s.w.cores {
		if o.listens() && s.w.net.open(c, o) {
			list = append(list, o)
		}
	}
	return list
}

// stores reports whether a server's disk takes what a stream is given.
func (n *node) stores() bool { return !n.disk.full && !n.disk.failed }

// voters lists the servers that c can have store a message now, c included: who
// is reached only when a clog is over, or cannot write, has no vote until then.
func (s *stream) voters(c *node) []*node {
	if !c.stores() {
		return nil
	}
	return slices.DeleteFunc(s.reached(c), func(o *node) bool { return !o.stores() || !s.w.net.flows(c, o) })
}

func (s *stream) majority(c *node) bool { return len(s.voters(c)) > len(s.w.cores)/2 }

// watch looks at who can reach whom after something has changed.
func (s *stream) watch() {
	if s.leader != nil && s.majority(s.leader) {
		s.advance()
		s.catchUp()
	} else if !s.electing {
		s.electing = true
		rng := s.w.chance.stream
		wait := electionMin + time.Duration(rng.Int64N(int64(electionMax-electionMin)))
		if s.term == 0 || len(s.w.cores) == 1 {
			wait = time.Millisecond // a cluster that is up already, or a server that has nobody to ask
		}
		s.w.after(wait, s.elect)
	}
	for _, r := range s.readers {
		r.kick()
	}
}

// deposed ends the leadership of a server that died.
func (s *stream) deposed(n *node) {
	if s.leader == n {
		s.leader, s.pending = nil, nil
	}
}

// leads reports whether a server takes itself for the leader although there is
// another one. It answers questions from its copy; what it is given is lost.
func (s *stream) leads(c *node) bool {
	return c == s.old && s.w.now < s.until && c.listens() && s.leader != nil && !s.w.net.open(c, s.leader)
}

// leaderFor gives whom a server takes for the leader.
func (s *stream) leaderFor(server *node) *node {
	if s.old != nil && s.leads(s.old) && s.w.net.open(server, s.old) && !s.w.net.open(server, s.leader) {
		return s.old
	}
	return s.leader
}

// elect makes a server among a majority the leader: the one whose copy is of the
// newest term, and of those the longest.
func (s *stream) elect() {
	s.electing = false
	if s.leader != nil && s.majority(s.leader) {
		s.watch()
		return
	}
	var best *node
	for _, i := range s.w.chance.stream.Perm(len(s.w.cores)) {
		c := s.w.cores[i]
		if !s.majority(c) {
			continue
		}
		for _, o := range s.voters(c) {
			if s.majority(o) && (best == nil || s.copies[o].newer(s.copies[best])) {
				best = o
			}
		}
	}
	if best == nil {
		return // watch begins again when something changes
	}
	if s.leader != nil && s.leader != best {
		const patience = 10 * time.Second // without a quorum, until it steps down
		s.old, s.until = s.leader, s.w.now+time.Duration(s.w.chance.stream.Int64N(int64(patience)))
	}
	s.leader = best
	s.term++
	s.copies[best].term = s.term
	s.remember(best)
	s.pending = nil
	s.committed = uint64(len(s.copies[best].log))
	s.w.say(Event{Kind: EvFact, Node: best.lane, What: "leads", Detail: string(s.id)})
	s.watch()
}

func (c *replicaLog) newer(d *replicaLog) bool {
	return c.term > d.term || c.term == d.term && len(c.log) > len(d.log)
}

// remember has a new leader learn the message ids from its copy. What a leader
// loses later in silence stays in its memory.
func (s *stream) remember(c *node) {
	clear(s.ids)
	for i, m := range s.copies[c].log {
		if m != nil && s.w.now-m.at <= dedupWindow {
			s.ids[m.id] = heldID{uint64(i + 1), m.at}
		}
	}
}

// catchUp lets followers that were away copy what they lack.
func (s *stream) catchUp() {
	if s.catching {
		return
	}
	s.catching = true
	s.w.after(5*time.Millisecond, func() {
		s.catching = false
		if s.leader == nil {
			return
		}
		for _, o := range s.voters(s.leader) {
			s.copies[o].follow(s.copies[s.leader], s.committed)
		}
		for _, r := range s.readers {
			r.kick()
		}
	})
}

// follow makes a copy like the leader's up to a number. What the leader lost
// without knowing, the copy keeps.
func (c *replicaLog) follow(leader *replicaLog, through uint64) {
	if c == leader {
		return
	}
	c.term = leader.term
	if uint64(len(c.log)) > through {
		c.log = c.log[:through]
	}
	for i := range min(through, uint64(len(leader.log))) {
		m := leader.log[i]
		switch {
		case i == uint64(len(c.log)):
			c.log = append(c.log, m)
		case m != nil && c.log[i] != nil:
			c.log[i] = m
		}
	}
}

// propose has the leader take a message.
func (s *stream) propose(at *node, m *stored, expect uint64, reply func(published)) {
	if s.leader != at || !at.listens() {
		reply(published{kind: protocol.Unknown})
		return
	}
	if !at.stores() {
		reply(published{kind: protocol.Rejected})
		return
	}
	log := s.copies[at]
	dup, known := s.duplicate(m.id)
	wrong := s.lastProposed(log, m.subject) != expect
	switch {
	case known && (len(s.w.cores) > 1 || !wrong):
		reply(published{seq: dup, ok: true})
		return
	case wrong:
		reply(published{kind: protocol.WrongSequence})
		return
	}
	p := &proposal{message: m, seq: uint64(len(log.log) + len(s.pending) + 1), ready: s.w.now + s.quorumTime(at),
		cause: s.w.cause}
	p.reply = func() { reply(published{seq: p.seq, ok: true}) }
	s.pending = append(s.pending, p)
	term := s.term
	s.w.after(p.ready-s.w.now, func() {
		if s.term == term {
			s.advance()
		}
	})
}

// duplicate looks for a message id within the window.
func (s *stream) duplicate(id string) (uint64, bool) {
	held, ok := s.ids[id]
	return held.seq, ok && s.w.now-held.at <= dedupWindow
}

// lastOf gives the number of the last message under a subject as a copy shows it.
func (s *stream) lastOf(c *replicaLog, subject string) uint64 {
	for _, seq := range slices.Backward(s.subjects[subject]) {
		if seq <= uint64(len(c.log)) && c.log[seq-1] != nil && c.log[seq-1].subject == subject {
			return seq
		}
	}
	return 0
}

// quorumTime is how long it takes until a majority has a message on disk: the
// leader first, then those of the others that are the first to have it.
func (s *stream) quorumTime(leader *node) time.Duration {
	sync := func(c *node) time.Duration { return s.w.plan.Timing.fsync() + c.disk.slow }
	var others []time.Duration
	for _, o := range s.voters(leader) {
		if o != leader {
			trip := s.w.net.path(leader, o).quality.Delay + s.w.net.path(o, leader).quality.Delay
			others = append(others, trip+sync(o))
		}
	}
	slices.Sort(others)
	need := len(s.w.cores) / 2
	if need == 0 {
		return sync(leader)
	}
	if need > len(others) { // they have it soon after they are back
		return sync(leader) + s.w.plan.Timing.fsync()
	}
	return sync(leader) + others[need-1]
}

// advance commits, in order, what a majority has.
func (s *stream) advance() {
	if s.leader == nil || !s.majority(s.leader) {
		return
	}
	grew := false
	for len(s.pending) > 0 && s.pending[0].ready <= s.w.now {
		p := s.pending[0]
		s.pending = s.pending[1:]
		s.commit(p)
		grew = true
	}
	if !grew {
		return
	}
	for _, r := range s.readers {
		r.kick()
	}
}

// commit gives a proposal its place in the copies of a majority.
func (s *stream) commit(p *proposal) {
	log, m := s.copies[s.leader], p.message
	m.at = s.w.now
	log.log = append(log.log, m)
	p.seq = uint64(len(log.log))
	s.ids[m.id] = heldID{p.seq, s.w.now}
	s.subjects[m.subject] = append(s.subjects[m.subject], p.seq)
	s.committed = p.seq
	for _, o := range s.voters(s.leader) {
		s.copies[o].follow(log, p.seq)
	}
	s.w.say(Event{Kind: EvStored, Node: s.leader.lane, What: "frame", Cause: p.cause})
	p.reply()
}

// lastProposed gives the number of the last message under a subject, those that
// are not committed included.
func (s *stream) lastProposed(log *replicaLog, subject string) uint64 {
	for _, p := range slices.Backward(s.pending) {
		if p.message.subject == subject {
			return p.seq
		}
	}
	return s.lastOf(log, subject)
}

// lose has a server's copy lose its last messages: in silence, or cut off.
func (s *stream) lose(c *node, count int, cut bool) {
	for _, o := range s.w.cores { // who follows a leader that was cut loses as much
		o.lost = s.w.now
	}
	log := s.copies[c].log
	from := max(len(log)-count, 0)
	if cut {
		s.copies[c].log = log[:from:from]
		if s.leader == c {
			s.committed = min(s.committed, uint64(from))
			s.pending = nil
			s.remember(c)
		}
		return
	}
	log = slices.Clone(log)
	for i := from; i < len(log); i++ {
		log[i] = nil
	}
	s.copies[c].log = log
}

// reader is a core node's ordered consumer of one stream.
type reader struct {
	s       *stream
	n       *node
	boot    int
	pos     drive.Position
	source  *node // whose copy it reads
	goal    uint64
	begun   bool // goal is known
	applied uint64
	busy    bool
	kicked  bool
	retry   bool
	short   time.Duration // since when the stream ends before the position; zero: it does not
	silent  time.Duration // since when nothing comes although the stream goes on behind the position; zero: it does not
}

func (r *reader) caughtUp() bool { return r.begun && r.applied >= r.goal }

func (r *reader) alive() bool { return r.n.boots == r.boot && r.n.runs() }

// kick has the reader look for messages soon.
func (r *reader) kick() {
	if r.kicked || r.busy || !r.alive() {
		return
	}
	r.kicked = true
	cause := r.s.w.cause
	r.s.w.after(300*time.Microsecond, func() {
		r.kicked, r.s.w.cause = false, cause
		if r.alive() && !r.busy {
			r.n.run(r.pull)
		}
	})
}

func (r *reader) again() {
	if r.retry {
		return
	}
	r.retry = true
	r.s.w.after(r.s.w.plan.Timing.scale(retryRead), func() {
		r.retry = false
		r.kick()
	})
}

func (r *reader) pull() {
	if !r.alive() || r.busy {
		return
	}
	s := r.s
	if s.leader == nil || !s.leader.listens() || !s.w.net.open(r.n, s.leader) {
		return // watch kicks
	}
	if !r.place() {
		return
	}
	r.n.meetPeers()
	msgs, missing := r.collect(r.silent != 0 && s.w.now-r.silent >= 2*drive.EndQuiet)
	if len(msgs) == 0 {
		r.wait()
		return
	}
	r.busy, r.silent = true, 0
	r.n.ingestStream(r, msgs, missing)
}

// wait comes back to a stream that goes on, of which nothing comes.
func (r *reader) wait() {
	switch {
	case r.pos.Seq >= r.s.committed:
		r.silent = 0
	case r.silent == 0:
		r.silent = r.s.w.now
		r.s.w.after(2*drive.EndQuiet, r.kick)
	}
}

// place sees to it that the position belongs to the stream and that there is a
// copy to read from.
func (r *reader) place() bool {
	s := r.s
	if !r.begun || r.pos.Stream != s.id || r.pos.Seq > s.committed {
		var short time.Duration
		if r.short != 0 {
			short = s.w.now - r.short
		}
		err := r.pos.Against(s.id, s.committed, short, drive.RewindPatience)
		switch {
		case err == nil:
			r.short = 0
			r.pos.Stream = s.id
			r.n.checkPosition(r.pos)
		case isRecreated(err):
			s.w.facts["stream_replaced"]++
			r.pos, r.short, r.begun, r.applied = drive.Position{Stream: s.id}, 0, false, 0
			r.n.doubts()
		default:
			if r.short == 0 {
				r.short = s.w.now
			}
			r.again()
			return false
		}
		if !r.begun {
			r.begun, r.goal = true, s.committed
			r.applied = r.pos.Seq
		}
	}
	if r.source == nil || !r.source.listens() || !s.w.net.open(r.n, r.source) {
		near := s.reached(r.n)
		r.source = near[s.w.chance.stream.IntN(len(near))]
	}
	return true
}

// collect reads what is behind the position. What the copy hides is asked of
// the leader; what that does not show either is missing. A consumer does not
// notice what is missing at the end, until it was silent for long.
func (r *reader) collect(toTheEnd bool) (msgs []message, missing uint64) {
	copied, leader := r.s.copies[r.source].log, r.s.copies[r.s.leader].log
	last := min(r.s.committed, uint64(len(copied)))
	for last > r.pos.Seq && copied[last-1] == nil {
		last--
	}
	if toTheEnd {
		last = r.s.committed
	}
	for seq := r.pos.Seq + 1; seq <= last && len(msgs) < consumerPull; seq++ {
		var m *stored
		if seq <= uint64(len(copied)) {
			m = copied[seq-1]
		}
		if m == nil && seq <= uint64(len(leader)) {
			m = leader[seq-1]
		}
		if m == nil {
			missing++
			if seq < last {
				continue
			}
		}
		msgs = append(msgs, message{seq, m})
	}
	return msgs, missing
}

// message is a stored message with its number; without one it stands for those
// that are missing at the end.
type message struct {
	seq uint64
	*stored
}

// taken says that messages up to a number are applied.
func (r *reader) taken(through uint64) {
	r.pos.Seq, r.applied = through, through
	r.n.meetPeers()
}

// idle says that the reader may go on.
func (r *reader) idle() {
	r.busy = false
	r.kick()
}
