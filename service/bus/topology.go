package bus

import (
	"slices"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
)

// Durable is the name of the service's consumer on both of its queues.
const Durable = "gemini-client"

// payloadReserve is what a request leaves of the server's max_payload for the
// headers that a retry or a dead letter adds to it.
const payloadReserve = 16 << 10

// Bounds of the cancellations, which any backend may publish: they have no body
// to speak of, and must not fill the disk that results need: 1 GiB at the very most,
// some 30 MB of those without headers. A number and not bytes, because JetStream
// sets bytes aside.
const (
	cancelMaxBytes = 4 << 10
	cancelsMax     = 250_000
)

// batchMaxAge is how long OpenRouter keeps a batch.
const batchMaxAge = 30 * 24 * time.Hour

// Topology is the streams and consumers as data, for one configuration and one
// server.
type Topology struct {
	Streams   []jetstream.StreamConfig
	Consumers []QueueConsumer
	LeastAge  map[string]time.Duration // of the records, by stream: twice the sum of the retry delays
	Bounds    map[string]Bound         // of the streams that one setting bounds
	Batch     *jetstream.StreamConfig  // one of Streams, which is made when it is needed; nil if batches are off
	Bodies    jetstream.StreamConfig   // one of Streams, without which the service goes on
	Shared    []jetstream.StreamConfig // some of Streams: the counters, which are made when something is to be counted
	Tenants   jetstream.StreamConfig   // one of Streams: the bucket of the declared tenants, without which there are none

	names   events.Names
	ackWait time.Duration
}

// QueueConsumer is a durable consumer and the stream it belongs to.
type QueueConsumer struct {
	Stream  string
	Retries bool        // it reads the rescheduled and replayed requests
	Tenant  string      // whose requests it reads; of the retries each says so itself
	Lane    events.Lane // as Tenant
	Config  jetstream.ConsumerConfig
}

// NewTopology returns what the service needs on a server with this max_payload.
// The reasons stand beside the settings.
func NewTopology(c config.Config, maxPayload int64) Topology {
	n := c.Names()
	least := c.LeastRecordAge()
	t := Topology{
		LeastAge: map[string]time.Duration{n.ResponsesStream(): least, n.CancelsStream(): least},
		Bounds: map[string]Bound{
			n.DeadlettersStream(): deadlettersBound(c, maxPayload), n.ResponsesStream(): resultsBound(c, maxPayload),
		},
		Streams: []jetstream.StreamConfig{
			requestsStream(c, n, maxPayload), retriesStream(n, c.Replicas), responsesStream(c, n),
			claimsStream(n, c.Replicas), deadlettersStream(c, n), cancelsStream(c, n),
		},
		names: n, ackWait: c.AckWait,
	}
	t.Consumers = append(t.defaultQueues(), QueueConsumer{
		Stream: n.RetriesStream(), Retries: true, Tenant: events.DefaultTenant, Lane: events.LaneInteractive,
		Config: queueConsumer(Durable, n.Retries(), c.AckWait),
	})
	if c.BatchMaxWait > 0 {
		t.Batch = new(batchStream(n, c.Replicas))
		t.Streams = append(t.Streams, *t.Batch)
	}
	t.Shared = []jetstream.StreamConfig{limitsStream(n, c.Replicas), budgetsStream(n, c.Replicas)}
	t.Streams = append(t.Streams, t.Shared...)
	t.Tenants = tenantsStream(n, c.Replicas)
	t.Streams = append(t.Streams, t.Tenants)
	t.Bodies = bodiesStream(c, n)
	t.Streams = append(t.Streams, t.Bodies) // the last: where storage is scarce, it is what can be done without
	return t
}

// needed leaves out what only some requests need.
func (t Topology) needed() Topology {
	t.Consumers = slices.DeleteFunc(slices.Clone(t.Consumers), QueueConsumer.spare)
	t.Streams = slices.DeleteFunc(slices.Clone(t.Streams), func(s jetstream.StreamConfig) bool {
		shared := slices.ContainsFunc(t.Shared, func(one jetstream.StreamConfig) bool { return one.Name == s.Name })
		return shared || s.Name == t.Bodies.Name || s.Name == t.Tenants.Name || t.Batch != nil && s.Name == t.Batch.Name
	})
	return t
}

// requestsStream refuses the publisher when it is full, who then knows. Without
// schedules, rollups and TTLs no header of a publisher can touch other
// requests.
func requestsStream(c config.Config, n events.Names, maxPayload int64) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: n.RequestsStream(), Subjects: requestSubjects(n),
		Description: "requests waiting for a worker",
		Retention:   jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage, Replicas: c.Replicas,
		Discard: jetstream.DiscardNew, MaxBytes: int64(c.RequestsMaxBytes),
		MaxMsgSize: int32(min(maxPayload, 1<<30) - payloadReserve), //nolint:gosec // bounded by the line itself
	}
}

// retriesStream is apart from the requests because schedules force rollups on,
// and only the service and operators may publish here.
func retriesStream(n events.Names, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: n.RetriesStream(), Subjects: []string{n.Retries(), n.LaterAll()},
		Description: "requests that come back later, and those that have",
		Retention:   jetstream.WorkQueuePolicy, Storage: jetstream.FileStorage, Replicas: replicas,
		Discard: jetstream.DiscardOld, AllowMsgSchedules: true, AllowRollup: true, AllowDirect: true,
	}
}

// responsesStream is also the record of what has been answered: when it is full
// it refuses new results rather than dropping old ones.
func responsesStream(c config.Config, n events.Names) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: n.ResponsesStream(), Subjects: []string{n.ResponsesAll()},
		Description: "results, and the record of what has been answered",
		Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: c.Replicas,
		MaxAge: c.ResultsMaxAge, AllowDirect: true, AllowAtomicPublish: true,
		Discard: jetstream.DiscardNew, MaxBytes: unlimited(int64(c.ResultsMaxBytes)),
	}
}

func claimsStream(n events.Names, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: n.ClaimsStream(), Subjects: []string{n.ClaimsAll()},
		Description: "who is calling for which request",
		Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas,
		MaxMsgsPerSubject: 1, AllowMsgTTL: true, AllowDirect: true, AllowAtomicPublish: true,
	}
}

// deadlettersStream drops its oldest message when it is full. All messages without
// a usable id have one subject, whose limit, with room for that many beside
// DEADLETTERS_MAX_BYTES, keeps them from pushing out what can be replayed.
func deadlettersStream(c config.Config, n events.Names) jetstream.StreamConfig {
	unusable := unusableKept(c)
	return jetstream.StreamConfig{
		Name: n.DeadlettersStream(), Subjects: []string{n.DeadlettersAll()},
		Description: "originals of requests that failed for good",
		Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: c.Replicas,
		MaxAge: c.DeadlettersMaxAge, AllowDirect: true,
		MaxBytes: int64(c.DeadlettersMaxBytes) + unusable*unusableBytes, MaxMsgsPerSubject: unusable,
	}
}

// cancelsStream refuses what is too much, as the publisher is told, instead of
// dropping the oldest: any number of cancellations of nothing must not make it forget
// one that matters. Requests in flight hear a refused one all the same.
func cancelsStream(c config.Config, n events.Names) jetstream.StreamConfig {
	plain, isolated := n.Cancels()
	return jetstream.StreamConfig{
		Name: n.CancelsStream(), Subjects: []string{plain, isolated},
		Description: "cancelled requests",
		Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: c.Replicas,
		MaxMsgsPerSubject: 1, MaxAge: c.ResultsMaxAge, AllowDirect: true,
		MaxMsgSize: cancelMaxBytes, MaxMsgs: cancelsMax, Discard: jetstream.DiscardNew,
	}
}

// batchStream has what is remembered of batches, each under a subject of its own.
// There is no prompt in it. What is over goes by its TTL, and what was forgotten by
// the age, when OpenRouter has deleted its batch as well.
func batchStream(n events.Names, replicas int) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: n.BatchStream(), Subjects: []string{n.BatchAll()},
		Description: "requests that wait for a batch, and batches under way",
		Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: replicas,
		MaxMsgsPerSubject: 1, MaxAge: batchMaxAge, AllowMsgTTL: true,
	}
}

// bodiesStream is the object store of bodies that are too large for a message, as every
// NATS client makes and finds it (ADR-20). Objects are deleted with their settled requests.
// Its age ends what is left over: a dead letter can be replayed as long as it is kept, and
// it may be written as late as results are remembered. It is as large as the queue may
// be: when it is full it refuses whoever puts, who then knows, and leaves the
// account's storage to the results.
func bodiesStream(c config.Config, n events.Names) jetstream.StreamConfig {
	return jetstream.StreamConfig{
		Name: n.BodiesStream(), Subjects: n.BodiesAll(),
		Description: "prompts and results too large for a message",
		Retention:   jetstream.LimitsPolicy, Storage: jetstream.FileStorage, Replicas: c.Replicas,
		MaxAge: c.ResultsMaxAge + c.DeadlettersMaxAge, AllowDirect: true, AllowRollup: true,
		Discard: jetstream.DiscardNew, MaxBytes: int64(c.RequestsMaxBytes),
	}
}

// queueConsumer has no BackOff (it would replace AckWait), no limit of
// deliveries (a limit strands the message in the stream) and no cap on pending
// acknowledgements (the slots are the cap).
func queueConsumer(name, subject string, ackWait time.Duration) jetstream.ConsumerConfig {
	return jetstream.ConsumerConfig{
		Durable: name, FilterSubject: subject,
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: ackWait, MaxDeliver: -1, MaxAckPending: -1,
	}
}
