package bus

import (
	"context"
	"errors"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/tenant"
)

// idlePull is how long a pull for requests stays open when there are none. In
// between the retries are asked for, so a retry waits at most this long; a
// request never does.
const idlePull = time.Second

// slowLook is how often the slow lane is asked while nothing is known to be in it.
const slowLook = 2 * time.Second

// queue is a stream's durable consumer.
type queue struct {
	stream  string
	subject string
	tenant  string                                            // whose requests are in it; of the retries each says so itself
	lane    events.Lane                                       // as tenant
	retries bool                                              // it holds rescheduled and replayed requests
	next    string                                            // where to ask for messages
	bind    func(context.Context) (jetstream.Consumer, error) // finds or makes the consumer
	ackWait time.Duration                                     // the consumer's own
	wait    time.Duration                                     // how long a pull stays open; 0: answer at once
	most    int64                                             // bytes that the next pull may bring; 0: as many as any pull
	hurry   bool                                              // the next pull is answered at once: another queue has more
	cut     bool                                              // the last pull ended because its next message was larger than what was left of them
	more    bool                                              // the last pull left something, as far as it knows
	asked   time.Time                                         // when it ended
	broken  atomic.Bool                                       // pulls fail, and the log says so
	resting atomic.Bool                                       // the queue is not asked, because it does not answer

	// Where the slots are shared.
	declared atomic.Pointer[tenant.Tenant] // of whose requests they are
	served   float64                       // what it was given, for its weight; the intake's goroutine alone
	left     atomic.Int64                  // messages that wait in it, as far as is known
	inFlight atomic.Int64                  // of its messages, in slots
	held     atomic.Bool                   // nothing of it may be taken
	last     atomic.Int64                  // when one was put there, in nanoseconds
	share    atomic.Int64                  // slots that it may fill whoever else is active
	keep     atomic.Int64                  // slots that it leaves free beyond these
	pulling  atomic.Bool                   // a pull of it is under way
	serving  atomic.Bool                   // that pull is for slots that are taken
	watched  atomic.Bool                   // its requests are not taken: their deadlines are watched
	waiting  waiting                       // these; whoever watches has them
	inbox    inbox                         // of its pulls

	failed, unanswered int // pulls and probes in a row, of whoever asks: the intake, or revive
}

// effectiveLane is the lane in which its messages are answered.
func (q *queue) effectiveLane() events.Lane { return q.declared.Load().Lane(q.lane) }

// due reports whether a queue is asked in its turn. One whose pulls do not wait would be
// asked in vain before each pull of the other.
func (q *queue) due() bool {
	every := idlePull / 2
	if q.lane == events.LaneBatch {
		every = slowLook
	}
	return q.wait > 0 || q.more || time.Since(q.asked) >= every
}

// turn is for how many messages it is asked in its turn, where so many slots are free, and
// so many requests of the default tenant may be taken. Of the slow lane it is whether there
// is one: then the slots are shared.
func (q *queue) turn(free, its int) int {
	switch {
	case q.retries:
		return free
	case q.lane == events.LaneBatch:
		return min(1, free, its)
	}
	return min(free, its)
}

// newQueue returns a consumer's queue, without asking for it.
func newQueue(conn *Conn, want QueueConsumer, create bool) *queue {
	q := &queue{
		stream: want.Stream, subject: want.Config.FilterSubject, retries: want.Retries, ackWait: want.Config.AckWait,
		tenant: want.Tenant, lane: want.Lane,
	}
	q.declared.Store(new(tenant.Undeclared(q.tenant)))
	q.inbox.nc = conn.Conn
	q.next = conn.api("CONSUMER.MSG.NEXT." + want.Stream + "." + want.Config.Durable)
	q.bind = func(ctx context.Context) (jetstream.Consumer, error) {
		if _, err := ensureConsumer(ctx, conn.JetStream, want, create); err != nil {
			return nil, err
		}
		return conn.JetStream.Consumer(ctx, want.Stream, want.Config.Durable)
	}
	return q
}

// bindQueues finds the consumers, the retries first, and the shortest AckWait in
// force: heartbeats follow the server's value, not the configuration.
func bindQueues(ctx context.Context, conn *Conn, topology Topology, create bool) (queues []*queue, shortest time.Duration, err error) {
	for _, want := range slices.Backward(topology.Consumers) {
		q := newQueue(conn, want, create)
		found, err := q.bind(ctx)
		if err != nil {
			return nil, 0, err
		}
		q.ackWait = found.CachedInfo().Config.AckWait
		if !q.retries {
			q.wait = idlePull
		}
		if shortest == 0 || q.ackWait < shortest {
			shortest = q.ackWait
		}
		queues = append(queues, q)
	}
	return queues, shortest, nil
}

// slowLane returns the default tenant's slow lane, if it is there, and nil if it is not.
// The error is why NATS does not say.
func (t Topology) slowLane(ctx context.Context, conn *Conn) (*queue, error) {
	for _, want := range t.Consumers {
		if !want.spare() {
			continue
		}
		if there, err := isThere(ctx, conn, want); err != nil || !there {
			return nil, err
		}
		return newQueue(conn, want, false), nil
	}
	return nil, nil //nolint:nilnil // there is none
}

// isThere reports whether a queue can be read without which the service goes on: its
// stream has the subject, and there is the consumer, which this user may see. The error is
// why NATS does not say.
func isThere(ctx context.Context, conn *Conn, q QueueConsumer) (there bool, err error) {
	err = conn.Do(ctx, "."+q.Stream, func(ctx context.Context) error {
		stream, err := conn.JetStream.Stream(ctx, q.Stream)
		if err != nil || !slices.Contains(stream.CachedInfo().Config.Subjects, q.Config.FilterSubject) {
			return err
		}
		_, err = stream.Consumer(ctx, q.Config.Durable)
		there = err == nil
		return err
	})
	if _, answered := errors.AsType[*jetstream.APIError](err); answered || errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, ErrDenied) || errors.Is(err, ErrNoAnswer) {
		return false, nil
	}
	return there, err
}

// longest is the longest AckWait of the queues.
func longest(queues []*queue) (wait time.Duration) {
	for _, q := range queues {
		wait = max(wait, q.ackWait)
	}
	return wait
}
