package bus

import (
	"context"
	"slices"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

// idlePull is how long a pull for requests stays open when there are none. In
// between the retries are asked for, so a retry waits at most this long; a
// request never does.
const idlePull = time.Second

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

	failed, unanswered int // pulls and probes in a row, of whoever asks: the intake, or revive
}

// due reports whether a queue is asked in its turn. One whose pulls do not wait would be
// asked in vain before each pull of the other.
func (q *queue) due() bool {
	return q.wait > 0 || q.more || time.Since(q.asked) >= idlePull/2
}

// bindQueues finds the consumers, the retries first, and the shortest AckWait in
// force: heartbeats follow the server's value, not the configuration.
func bindQueues(ctx context.Context, conn *Conn, topology Topology, create bool) (queues []*queue, shortest time.Duration, err error) {
	for _, want := range slices.Backward(topology.Consumers) {
		q := &queue{stream: want.Stream, subject: want.Config.FilterSubject, retries: want.Retries, tenant: want.Tenant, lane: want.Lane}
		q.next = conn.api("CONSUMER.MSG.NEXT." + want.Stream + "." + want.Config.Durable)
		q.bind = func(ctx context.Context) (jetstream.Consumer, error) {
			if _, err := ensureConsumer(ctx, conn.JetStream, want, create); err != nil {
				return nil, err
			}
			return conn.JetStream.Consumer(ctx, want.Stream, want.Config.Durable)
		}
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

// longest is the longest AckWait of the queues.
func longest(queues []*queue) (wait time.Duration) {
	for _, q := range queues {
		wait = max(wait, q.ackWait)
	}
	return wait
}
