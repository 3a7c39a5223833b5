package bus

import (
	"context"
	"errors"
	"log/slog"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/tenant"
	"gemini-client/telemetry"
)

const (
	readInterval  = 15 * time.Second // how often the queues' numbers are read
	staleAfter    = time.Minute      // when an old number is no number any more
	deniedRetryIn = 10 * time.Minute // when what NATS refused is asked again
)

// States of a queue's messages, as the metric has them.
const (
	stateWaiting   = "waiting"
	stateInFlight  = "in_flight"
	stateScheduled = "scheduled"
	stateDead      = "dead"
)

// backlog reads from time to time how full the queues are, and answers scrapes
// from memory. What could not be read for a while is not reported: an old number
// would say that all is well.
type backlog struct {
	conn  *Conn
	names events.Names
	log   *slog.Logger

	tenants   *tenant.Registry // of which lanes are read
	evictions *evictions
	seen      func(jetstream.StreamInfo) // called with every stream that is read

	denied   map[string]time.Time // questions that NATS refused, and when
	silent   map[string]int       // requests without a reply, how often in a row
	answered bool                 // NATS has answered in this round

	mu       sync.Mutex
	messages map[queueState]reading
	oldest   map[string]oldestWaiting // by queue
	sizes    map[string]size          // of streams, by what their subjects begin with
	missing  map[string]bool          // questions about what is not there
	refused  time.Time                // when a result was refused for want of room
}

type queueState struct{ queue, state string }

type reading struct {
	n  uint64
	at time.Time
}

// oldestWaiting is what is known of a queue's oldest waiting message.
type oldestWaiting struct {
	at    time.Time // of the reading
	since time.Time // when it was stored; zero if none waits
	depth Depth     // of the queue then
}

func newBacklog(conn *Conn, names events.Names, log *slog.Logger, evicted func(context.Context, int64)) *backlog {
	return &backlog{
		conn: conn, names: names, log: log, tenants: tenant.NewRegistry(), evictions: &evictions{count: evicted, log: log}, seen: func(jetstream.StreamInfo) {},
		denied: map[string]time.Time{}, silent: map[string]int{},
		messages: map[queueState]reading{}, oldest: map[string]oldestWaiting{},
		sizes: map[string]size{}, missing: map[string]bool{},
	}
}

// run reads until ctx ends.
func (b *backlog) run(ctx context.Context) {
	for {
		b.read(ctx)
		if !sleep(ctx, readInterval) {
			return
		}
	}
}

// read asks for everything once.
func (b *backlog) read(ctx context.Context) {
	if !b.conn.IsConnected() {
		return
	}
	b.answered = false
	n := b.names
	b.readQueue(ctx, n.RequestsStream(), n.RequestQueue)
	b.readLanes(ctx)
	retries, ok := b.readQueue(ctx, n.RetriesStream(), n.Retries())
	if all, there := b.readStream(ctx, n.RetriesStream()); there && ok {
		b.set(n.Retries(), stateScheduled, retries.Scheduled(all.State.Msgs))
	}
	if all, there := b.readStream(ctx, n.DeadlettersStream()); there {
		b.set(root(n.DeadlettersAll()), stateDead, all.State.Msgs)
		b.setSize(root(n.DeadlettersAll()), all)
		b.evictions.observe(ctx, all, b.conn.MaxPayload()+storedMore)
	}
	if all, there := b.readStream(ctx, n.ResponsesStream()); there {
		b.setSize(root(n.ResponsesAll()), all)
	}
}

// root is what all subjects under a filter begin with.
func root(filter string) string { return strings.TrimSuffix(filter, ".>") }

// readQueue reads how full a queue is, and since when its oldest message waits.
func (b *backlog) readQueue(ctx context.Context, stream, queue string) (d Depth, ok bool) {
	err := b.ask(ctx, telemetry.MetricQueueMessages, consumerInfo(stream), func() (err error) {
		d, err = b.conn.Depth(ctx, stream)
		return err
	})
	if err != nil {
		return d, false
	}
	b.set(queue, stateWaiting, d.Waiting)
	b.set(queue, stateInFlight, d.InFlight)
	b.readOldest(ctx, stream, queue, d)
	return d, true
}

// readOldest looks for the oldest waiting message. It is the same as long as
// nothing is delivered, and nothing that waits goes away, so that a queue that
// stands still costs nothing.
func (b *backlog) readOldest(ctx context.Context, stream, queue string, d Depth) {
	b.mu.Lock()
	before := b.oldest[queue]
	b.mu.Unlock()
	now := oldestWaiting{at: time.Now(), depth: d}
	if d.Waiting > 0 && !before.since.IsZero() && before.depth.Delivered == d.Delivered && before.depth.Waiting <= d.Waiting {
		now.since = before.since
	} else if d.Waiting > 0 {
		err := b.ask(ctx, telemetry.MetricQueueOldest, nextMessage(stream), func() (err error) {
			now.since, err = b.conn.OldestWaiting(ctx, stream, queue, d)
			return err
		})
		if err != nil {
			return
		}
	}
	b.mu.Lock()
	defer b.mu.Unlock()
	b.oldest[queue] = now
}

func (b *backlog) readStream(ctx context.Context, stream string) (info jetstream.StreamInfo, ok bool) {
	metric := telemetry.MetricQueueMessages
	if stream == b.names.ResponsesStream() {
		metric = telemetry.MetricQueueSize
	}
	err := b.ask(ctx, metric, streamInfo(stream), func() (err error) {
		info, err = b.conn.stream(ctx, stream)
		return err
	})
	if err == nil {
		b.seen(info)
	}
	return info, err == nil
}

func (b *backlog) set(queue, state string, n uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	b.messages[queueState{queue, state}] = reading{n, time.Now()}
}

// ask asks one question. What NATS refuses is said once, with the metric that is
// missing for it, and not asked again for a while.
func (b *backlog) ask(ctx context.Context, metric, question string, do func() error) error {
	since, before := b.denied[question]
	if before && time.Since(since) < deniedRetryIn {
		return ErrDenied
	}
	err := do()
	b.setMissing(question, err)
	if errors.Is(err, nats.ErrNoResponders) && b.answered { // once: a restart; again: nothing is imported under that name
		b.silent[question]++
	}
	switch {
	case err == nil:
		b.answered = true
		delete(b.denied, question)
		delete(b.silent, question)
	case errors.Is(err, ErrDenied), b.silent[question] >= 2:
		b.denied[question] = time.Now()
		if !before {
			b.log.WarnContext(ctx, "a metric is missing: this NATS user needs the right to publish to the subject", "metric", telemetry.MetricName(metric), "subject", b.conn.api(question))
		}
	case ctx.Err() == nil:
		b.log.DebugContext(ctx, "the queues' numbers were not read", "subject", b.conn.api(question), "error", err)
	}
	return err
}

// numbers returns what is known at a time.
func (b *backlog) numbers(now time.Time) (q telemetry.QueueNumbers) {
	b.mu.Lock()
	defer b.mu.Unlock()
	for of, r := range b.messages {
		if now.Sub(r.at) <= staleAfter {
			q.Messages = append(q.Messages, telemetry.QueueMessages{Queue: of.queue, State: of.state, Count: int64(r.n)}) //nolint:gosec // a count of messages
		}
	}
	for queue, w := range b.oldest {
		if now.Sub(w.at) > staleAfter {
			continue
		}
		age := telemetry.QueueAge{Queue: queue}
		if !w.since.IsZero() {
			age.Age = max(0, now.Sub(w.since)) // the server's clock may be ahead
		}
		q.Oldest = append(q.Oldest, age)
	}
	for queue, s := range b.sizes {
		if now.Sub(s.at) <= staleAfter {
			q.Sizes = append(q.Sizes, telemetry.QueueSize{Queue: queue, Bytes: s.bytes, Limit: s.limit})
		}
	}
	return q
}
