package core

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go/jetstream"

	"github.com/causeway-sync/causeway/protocol/drive"
)

// StreamID tells one life of a stream from the next.
type StreamID = drive.StreamID

func streamID(created time.Time) StreamID { return StreamID(created.UTC().Format(time.RFC3339Nano)) }

// metaPartitions records in each stream how many partitions the cluster has.
const metaPartitions = "causeway.partitions"

// StreamName is the name of a partition's stream.
func StreamName(partition int) string { return "CW_OPS_" + strconv.Itoa(partition) }

func streamSubject(partition int) string { return "cw.op." + strconv.Itoa(partition) + ".>" }

// DriftError says that a stream exists with settings under which frames could
// be lost, reordered or hidden. The bus does not run with it and does not
// change it.
type DriftError struct {
	Stream string
	Fields []string // each "name: got x, want y"
}

func (e *DriftError) Error() string {
	return fmt.Sprintf("stream %s has other settings: %s", e.Stream, strings.Join(e.Fields, "; "))
}

func (b *Bus) streamConfig(partition int) jetstream.StreamConfig {
	share := b.cfg.MaxStoreBytes / int64(b.cfg.Partitions)
	return jetstream.StreamConfig{
		Name:        StreamName(partition),
		Subjects:    []string{streamSubject(partition)},
		Retention:   jetstream.LimitsPolicy,
		MaxMsgs:     -1,
		MaxBytes:    share - share/16, // the rest is for indexes and open blocks
		MaxAge:      b.cfg.MaxAge,
		MaxMsgSize:  maxStoredBytes,
		Discard:     jetstream.DiscardNew,
		Storage:     jetstream.FileStorage,
		Replicas:    b.cfg.Replicas,
		Duplicates:  dedupWindow,
		DenyDelete:  true,
		DenyPurge:   true,
		Compression: jetstream.NoCompression,
		Metadata:    map[string]string{metaPartitions: strconv.Itoa(b.cfg.Partitions)},
	}
}

// fatalDrift lists the settings that differ and must not.
func fatalDrift(got, want jetstream.StreamConfig) []string {
	var fields []string
	differ := func(name string, got, want any) {
		if g, w := fmt.Sprint(got), fmt.Sprint(want); g != w {
			fields = append(fields, fmt.Sprintf("%s: got %s, want %s", name, g, w))
		}
	}
	differ("subjects", got.Subjects, want.Subjects)
	differ("partitions", got.Metadata[metaPartitions], want.Metadata[metaPartitions])
	differ("replicas", got.Replicas, want.Replicas)
	differ("storage", got.Storage, want.Storage)
	differ("persist mode async", got.PersistMode == jetstream.AsyncPersistMode, false)
	differ("compression", got.Compression, want.Compression)
	differ("retention", got.Retention, want.Retention)
	differ("no_ack", got.NoAck, false)
	differ("sealed", got.Sealed, false)
	differ("allow_rollup_hdrs", got.AllowRollup, false)
	differ("allow_msg_ttl", got.AllowMsgTTL, false)
	differ("allow_msg_counter", got.AllowMsgCounter, false)
	differ("allow_msg_schedules", got.AllowMsgSchedules, false)
	differ("max_msgs", got.MaxMsgs, want.MaxMsgs)
	differ("max_msgs_per_subject", max(got.MaxMsgsPerSubject, 0), 0)
	differ("mirror", got.Mirror != nil, false)
	differ("sources", len(got.Sources), 0)
	differ("subject_transform", got.SubjectTransform != nil, false)
	differ("republish", got.RePublish != nil, false)
	return fields
}

// repairableDrift lists the settings that differ and may be set right in place.
func repairableDrift(got, want jetstream.StreamConfig) []string {
	var fields []string
	differ := func(name string, same bool) {
		if !same {
			fields = append(fields, name)
		}
	}
	differ("max_bytes", got.MaxBytes == want.MaxBytes)
	differ("max_age", got.MaxAge == want.MaxAge)
	differ("max_msg_size", got.MaxMsgSize == want.MaxMsgSize)
	differ("discard", got.Discard == want.Discard)
	differ("duplicate_window", got.Duplicates == want.Duplicates)
	differ("deny_delete", got.DenyDelete)
	differ("deny_purge", got.DenyPurge)
	differ("allow_direct", !got.AllowDirect)
	return fields
}

// prepare makes or checks all streams, retrying until it succeeds, the settings
// are refused, or ctx ends. A new cluster of three needs about 5 s for this.
func (b *Bus) prepare(ctx context.Context) error {
	for p := 0; p <= b.cfg.Partitions; {
		var err error
		if p < b.cfg.Partitions {
			err = b.ensureStream(ctx, p)
		} else {
			err = b.ensureClaims(ctx)
		}
		if _, drift := errors.AsType[*DriftError](err); drift {
			return err
		}
		b.setLastError(err)
		if err == nil {
			p++
			continue
		}
		b.log.LogAttrs(ctx, slog.LevelDebug, "stream not ready", slog.Int("partition", p), slog.Any("error", err))
		select {
		case <-ctx.Done():
			return errors.Join(ErrNotReady, err, context.Cause(ctx))
		case <-b.lg.failed:
			return b.lg.fatalError()
		case <-time.After(100 * time.Millisecond):
		}
	}
	return nil
}

// End asks a partition's leader for the number of its last message.
func (b *Bus) End(ctx context.Context, partition int) (uint64, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	s, err := b.js.Stream(ctx, StreamName(partition))
	if err != nil {
		return 0, fmt.Errorf("end of stream %s: %w", StreamName(partition), err)
	}
	return s.CachedInfo().State.LastSeq, nil
}

func (b *Bus) setLastError(err error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.lastError = err
}

// PeerNames asks a stream's leader for the names of the other core nodes.
func (b *Bus) PeerNames(ctx context.Context) ([]string, error) {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	s, err := b.js.Stream(ctx, StreamName(0))
	if err != nil {
		return nil, fmt.Errorf("peers of stream %s: %w", StreamName(0), err)
	}
	var names []string
	if at := s.CachedInfo().Cluster; at != nil {
		names = append(names, at.Leader)
		for _, r := range at.Replicas {
			names = append(names, r.Name)
		}
	}
	names = slices.DeleteFunc(names, func(n string) bool { return n == b.cfg.Name || n == "" })
	if len(names) < b.cfg.Replicas-1 {
		return nil, fmt.Errorf("peers of stream %s: got %v, want %d: %w", StreamName(0), names, b.cfg.Replicas-1, ErrNotReady)
	}
	return names, nil
}

// ensureStream makes a partition's stream, or checks and repairs its settings.
// All nodes do it at the same time; the outcome is the same.
func (b *Bus) ensureStream(ctx context.Context, partition int) error {
	ctx, cancel := context.WithTimeout(ctx, apiTimeout)
	defer cancel()
	want := b.streamConfig(partition)
	s, err := b.js.Stream(ctx, want.Name)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		if s, err = b.js.CreateStream(ctx, want); err == nil {
			b.log.LogAttrs(ctx, slog.LevelInfo, "stream created", slog.String("stream", want.Name))
		}
	}
	if err != nil {
		return fmt.Errorf("stream %s: %w", want.Name, err)
	}
	info := s.CachedInfo()
	if fields := fatalDrift(info.Config, want); len(fields) > 0 {
		return &DriftError{Stream: want.Name, Fields: fields}
	}
	if fields := repairableDrift(info.Config, want); len(fields) > 0 {
		if _, err := b.js.UpdateStream(ctx, want); err != nil {
			return fmt.Errorf("stream %s: repair %v: %w", want.Name, fields, err)
		}
		b.log.LogAttrs(ctx, slog.LevelWarn, "stream settings repaired",
			slog.String("stream", want.Name), slog.Any("settings", fields))
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.ids[partition] = streamID(info.Created)
	return nil
}

// inspect compares the streams with what they must be, and logs each problem
// when it appears and when it is gone. It returns settings that must stop us.
func (b *Bus) inspect(ctx context.Context) error {
	problems := b.CheckStreams()
	for _, p := range problems {
		if !b.reported[p] {
			b.log.LogAttrs(ctx, slog.LevelError, "stream damaged", slog.String("stream", p.Stream),
				slog.String("kind", string(p.Kind)), slog.String("detail", p.Detail))
		}
	}
	for p := range b.reported {
		if !slices.Contains(problems, p) {
			b.log.LogAttrs(ctx, slog.LevelInfo, "stream problem gone", slog.String("stream", p.Stream),
				slog.String("kind", string(p.Kind)))
		}
	}
	clear(b.reported)
	for _, p := range problems {
		b.reported[p] = true
	}
	for p := range b.cfg.Partitions {
		err := b.ensureStream(ctx, p)
		if _, drift := errors.AsType[*DriftError](err); drift {
			return err
		}
		b.setLastError(err)
	}
	if err := b.ensureClaims(ctx); err != nil { // claims are then decided by those who ask
		b.log.LogAttrs(ctx, slog.LevelWarn, "claim stream not checked", slog.Any("error", err))
	}
	return nil
}

// ProblemKind says what is wrong with a stream on this server.
type ProblemKind string

// Kinds of problems.
const (
	ProblemDisabled  ProblemKind = "disabled"  // JetStream switched itself off, for instance after a disk error
	ProblemMissing   ProblemKind = "missing"   // this server holds no copy
	ProblemHoles     ProblemKind = "holes"     // stored messages are gone from this server's copy
	ProblemRecreated ProblemKind = "recreated" // the stream is not the one that we started with
	ProblemDrift     ProblemKind = "drift"     // settings that must not be
)

// StreamProblem is a fact about this server's own copy of a stream. A copy with
// holes must neither lead nor be read from until it was made again.
type StreamProblem struct {
	Partition int
	Stream    string
	Kind      ProblemKind
	Detail    string
}

// CheckStreams looks at this server's own copies, without asking other nodes.
// Messages are never deleted or purged, so a copy without damage has no holes:
// it holds last-first+1 messages. Cheap enough for every few seconds. Damage
// that the server itself has not noticed, inside a message block that it did
// not read since, does not show here: the chain of each feed finds that.
func (b *Bus) CheckStreams() []StreamProblem {
	details, err := b.localStreams()
	if err != nil {
		return []StreamProblem{{Partition: -1, Kind: ProblemDisabled, Detail: err.Error()}}
	}
	var problems []StreamProblem
	for p := range b.cfg.Partitions {
		add := func(kind ProblemKind, detail string) {
			problems = append(problems, StreamProblem{Partition: p, Stream: StreamName(p), Kind: kind, Detail: detail})
		}
		d, ok := details[StreamName(p)]
		known, _ := b.StreamID(p)
		if !ok {
			if known != "" {
				add(ProblemMissing, "this server holds no copy")
			}
			continue
		}
		if holes := countHoles(d.State); holes != "" {
			add(ProblemHoles, holes)
		}
		if id := streamID(d.Created); known != "" && id != known {
			add(ProblemRecreated, fmt.Sprintf("created %s, was %s", id, known))
		}
		cfg, err := clientConfig(d.Config)
		if err != nil {
			add(ProblemDrift, err.Error())
		} else if fields := fatalDrift(cfg, b.streamConfig(p)); len(fields) > 0 {
			add(ProblemDrift, strings.Join(fields, "; "))
		}
	}
	return problems
}

func countHoles(s server.StreamState) string {
	var want uint64
	if s.LastSeq > 0 && s.LastSeq >= s.FirstSeq {
		want = s.LastSeq - s.FirstSeq + 1
	}
	if s.Msgs == want && s.NumDeleted == 0 && s.Lost == nil {
		return ""
	}
	return fmt.Sprintf("holds %d messages of %d to %d, %d deleted", s.Msgs, s.FirstSeq, s.LastSeq, s.NumDeleted)
}

// clientConfig translates the server's form of the settings into the client's;
// both are the same JSON.
func clientConfig(c *server.StreamConfig) (jetstream.StreamConfig, error) {
	var out jetstream.StreamConfig
	raw, err := json.Marshal(c)
	if err != nil {
		return out, fmt.Errorf("encode stream settings: %w", err)
	}
	if err := json.Unmarshal(raw, &out); err != nil {
		return out, fmt.Errorf("decode stream settings: %w", err)
	}
	return out, nil
}

func (b *Bus) localStreams() (map[string]server.StreamDetail, error) {
	info, err := b.srv.Jsz(&server.JSzOptions{Streams: true, Config: true})
	if err != nil {
		return nil, fmt.Errorf("look at own streams: %w", err)
	}
	if info.Disabled {
		return nil, errors.New("jetstream is disabled on this server")
	}
	out := make(map[string]server.StreamDetail)
	for _, a := range info.AccountDetails {
		for _, s := range a.Streams {
			out[s.Name] = s
		}
	}
	return out, nil
}

// StreamID is the identity of a partition's stream as last checked, and whether
// it was checked at all.
func (b *Bus) StreamID(partition int) (StreamID, bool) {
	b.mu.Lock()
	defer b.mu.Unlock()
	id := b.ids[partition]
	return id, id != ""
}

// StreamStatus describes this server's copy of a stream, for people.
type StreamStatus struct {
	Partition int
	Stream    string
	ID        StreamID
	Leader    string // node name; empty during an election
	First     uint64
	Last      uint64
	Messages  uint64
	Bytes     uint64
	Peers     []PeerStatus // the other copies, as the server sees them; none for one node
}

// PeerStatus is another node's copy of a stream.
type PeerStatus struct {
	Node    string
	Current bool
	Offline bool
	Lag     uint64 // log entries that it lacks
}

// Streams describes this server's copies by partition. Partitions of which it
// holds none are left out. It asks nobody.
func (b *Bus) Streams() []StreamStatus {
	details, err := b.localStreams()
	if err != nil {
		return nil
	}
	var out []StreamStatus
	for p := range b.cfg.Partitions {
		d, ok := details[StreamName(p)]
		if !ok {
			continue
		}
		st := StreamStatus{
			Partition: p, Stream: d.Name, ID: streamID(d.Created), Leader: b.cfg.Name,
			First: d.State.FirstSeq, Last: d.State.LastSeq, Messages: d.State.Msgs, Bytes: d.State.Bytes,
		}
		if d.Cluster != nil && b.cfg.Replicas > 1 {
			st.Leader = d.Cluster.Leader
			for _, r := range d.Cluster.Replicas {
				st.Peers = append(st.Peers, PeerStatus{Node: r.Name, Current: r.Current, Offline: r.Offline, Lag: r.Lag})
			}
		}
		out = append(out, st)
	}
	return out
}
