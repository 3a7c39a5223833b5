package service

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
	"gemini-client/telemetry"
)

const (
	readEvery  = 15 * time.Second // how often the queues' numbers are read
	staleAfter = time.Minute      // when an old number is no number any more
	askAgain   = 10 * time.Minute // when what NATS refused is tried again
)

// States of a queue's messages.
const (
	stateWaiting = "waiting"
	stateAtWork  = "at_work"
	stateLater   = "later"
	stateDead    = "dead"
)

// errRefused is a question that NATS does not allow us to ask.
var errRefused = errors.New("this NATS user may not do that")

// gauges reads from time to time how full the queues are, and answers scrapes
// from memory. What could not be read for a while is not reported: an old
// number would say that all is well.
type gauges struct {
	nc    *nats.Conn
	api   func(question string) string // NATS.API
	names events.Names
	log   *slog.Logger

	refused map[string]time.Time // subjects that NATS refused, and when
	silent  map[string]int       // subjects that nobody answered, how often in a row
	heard   bool                 // NATS has answered in this round

	mu       sync.Mutex
	messages map[queueState]reading
	oldest   map[string]oldestWaiting // by queue
	asking   string                   // the subject of the question under way
	refuse   context.CancelCauseFunc
}

type queueState struct{ queue, state string }

type reading struct {
	n  int64
	at time.Time
}

// oldestWaiting is what is known of a queue's oldest waiting message.
type oldestWaiting struct {
	at      time.Time // of the reading
	since   time.Time // when it was stored; zero if none waits
	after   uint64    // the sequence that was delivered last then
	pending uint64    // how many waited then
}

func newGauges(nc *nats.Conn, api func(string) string, names events.Names, log *slog.Logger) *gauges {
	return &gauges{
		nc: nc, api: api, names: names, log: log,
		refused: map[string]time.Time{}, silent: map[string]int{}, messages: map[queueState]reading{}, oldest: map[string]oldestWaiting{},
	}
}

// run reads until ctx ends.
func (g *gauges) run(ctx context.Context) {
	for {
		g.read(ctx)
		if sleep(ctx, readEvery) != nil {
			return
		}
	}
}

// read asks for everything once.
func (g *gauges) read(ctx context.Context) {
	if !g.nc.IsConnected() {
		return
	}
	g.heard = false
	n := g.names
	g.readQueue(ctx, n.RequestsStream(), n.RequestQueue)
	inQueue, ok := g.readQueue(ctx, n.RetriesStream(), n.Retries())
	if all, there := g.readStream(ctx, n.RetriesStream()); there && ok {
		g.set(n.Retries(), stateLater, all-min(all, inQueue))
	}
	if all, there := g.readStream(ctx, n.DeadlettersStream()); there {
		g.set(strings.TrimSuffix(n.DeadlettersAll(), ".>"), stateDead, all)
	}
}

// readQueue returns how many messages of a queue wait or are at work.
func (g *gauges) readQueue(ctx context.Context, stream, queue string) (uint64, bool) {
	var info jetstream.ConsumerInfo
	if err := g.ask(ctx, telemetry.MetricQueueMessages, "CONSUMER.INFO."+stream+"."+Durable, nil, &info); err != nil {
		return 0, false
	}
	atWork := uint64(max(0, info.NumAckPending))
	g.set(queue, stateWaiting, info.NumPending)
	g.set(queue, stateAtWork, atWork)
	g.readOldest(ctx, stream, queue, info.Delivered.Stream, info.NumPending)
	return info.NumPending + atWork, true
}

// readOldest finds the message after the last that was delivered. It is the
// same as long as nothing is delivered, and nothing that waits goes away, so
// that a queue that stands still costs nothing.
func (g *gauges) readOldest(ctx context.Context, stream, queue string, delivered, pending uint64) {
	g.mu.Lock()
	before := g.oldest[queue]
	g.mu.Unlock()
	now := oldestWaiting{at: time.Now(), after: delivered, pending: pending}
	switch {
	case pending == 0:
	case !before.since.IsZero() && before.after == delivered && before.pending <= pending:
		now.since = before.since
	default:
		var found struct {
			Message struct {
				Time time.Time `json:"time"`
			} `json:"message"`
		}
		next := map[string]any{"seq": delivered + 1, "next_by_subj": queue}
		if g.ask(ctx, telemetry.MetricQueueOldest, "STREAM.MSG.GET."+stream, next, &found) != nil {
			return
		}
		now.since = found.Message.Time // zero if it has just been taken
	}
	g.mu.Lock()
	defer g.mu.Unlock()
	g.oldest[queue] = now
}

func (g *gauges) readStream(ctx context.Context, stream string) (messages uint64, ok bool) {
	var info jetstream.StreamInfo
	err := g.ask(ctx, telemetry.MetricQueueMessages, "STREAM.INFO."+stream, nil, &info)
	return info.State.Msgs, err == nil
}

func (g *gauges) set(queue, state string, n uint64) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.messages[queueState{queue, state}] = reading{int64(n), time.Now()} //nolint:gosec // a count of messages
}

// ask asks JetStream one question and decodes its answer; of no matching
// message there is nothing to decode. What NATS refuses is said once, with the
// metric that is missing for it, and not asked again for a while.
func (g *gauges) ask(ctx context.Context, metric, question string, body, into any) error {
	subject := g.api(question)
	since, before := g.refused[subject]
	if before && time.Since(since) < askAgain {
		return errRefused
	}
	err := g.request(ctx, subject, body, into)
	if errors.Is(err, nats.ErrNoResponders) && g.heard { // once: a restart; again: nothing is imported under that name
		g.silent[subject]++
	}
	switch {
	case err == nil:
		g.heard = true
		delete(g.refused, subject)
		delete(g.silent, subject)
	case errors.Is(err, errRefused), g.silent[subject] >= 2:
		g.refused[subject] = time.Now()
		if !before {
			g.log.WarnContext(ctx, "a metric is missing: this NATS user needs the right to publish to the subject", "metric", telemetry.MetricName(metric), "subject", subject)
		}
	case ctx.Err() == nil:
		g.log.DebugContext(ctx, "the queues' numbers were not read", "subject", subject, "error", err)
	}
	return err
}

func (g *gauges) request(ctx context.Context, subject string, body, into any) error {
	ctx, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	limited, cancel := context.WithTimeout(ctx, brokerTimeout)
	defer cancel()
	g.underWay(subject, refuse)
	defer g.underWay("", nil)
	err := request(limited, g.nc, subject, body, into)
	switch {
	case errors.Is(err, errNoMessage):
		return nil
	case err != nil && errors.Is(context.Cause(ctx), errRefused):
		return errRefused
	}
	return err
}

func (g *gauges) underWay(subject string, refuse context.CancelCauseFunc) {
	g.mu.Lock()
	defer g.mu.Unlock()
	g.asking, g.refuse = subject, refuse
}

// listen takes NATS's refusals of our own questions, which come apart from
// them, out of the connection's errors and leaves the others to next.
func (g *gauges) listen(next nats.ErrHandler) nats.ErrHandler {
	return func(nc *nats.Conn, s *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) && g.wasRefused(err.Error()) {
			return
		}
		if next != nil {
			next(nc, s, err)
		}
	}
}

func (g *gauges) wasRefused(text string) bool {
	g.mu.Lock()
	defer g.mu.Unlock()
	if g.asking == "" || !strings.Contains(text, `"`+g.asking+`"`) {
		return false
	}
	g.refuse(errRefused)
	return true
}

// numbers returns what is known at a time.
func (g *gauges) numbers(now time.Time) (q telemetry.QueueNumbers) {
	g.mu.Lock()
	defer g.mu.Unlock()
	for of, r := range g.messages {
		if now.Sub(r.at) <= staleAfter {
			q.Messages = append(q.Messages, telemetry.QueueMessages{Queue: of.queue, State: of.state, Count: r.n})
		}
	}
	for queue, w := range g.oldest {
		if now.Sub(w.at) > staleAfter {
			continue
		}
		age := telemetry.QueueAge{Queue: queue}
		if !w.since.IsZero() {
			age.Age = max(0, now.Sub(w.since)) // the server's clock may be ahead
		}
		q.Oldest = append(q.Oldest, age)
	}
	return q
}
