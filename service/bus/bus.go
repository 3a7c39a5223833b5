package bus

import (
	"cmp"
	"context"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/events/bodies"
	"gemini-client/service/config"
	"gemini-client/service/tenant"
	"gemini-client/telemetry"
)

// Bus is the service's side of NATS: Run hands deliveries out, Admit says of
// each whether it may be called for, Settle ends it. It is safe for concurrent
// use. Open makes it, Close ends it.
type Bus struct {
	conn        *Conn
	names       events.Names
	tel         *telemetry.Telemetry
	queues      []*queue
	sources     *sources
	lanes       lanes
	slots       *slots
	memory      *memory
	heartbeat   *heartbeat
	claims      *claims
	rounds      *rounds
	results     *results
	schedules   *schedules
	cancels     *cancels
	deadletters *deadletters
	batches     *batches
	limits      *limits
	bodies      *bodies.Store
	backlog     *backlog
	tenants     *tenant.Registry
	declared    *declared              // keeps it current
	budgets     jetstream.StreamConfig // the counters of money, which are made when there is a budget
	provisions  bool
	taking      atomic.Bool // Run takes messages
}

// Open connects to NATS, waiting for it as long as ctx lasts, makes sure of the
// streams and consumers, and binds them. The caller closes the Bus. Errors:
// ErrTopology, config.ErrInvalid, ctx's cause.
func Open(ctx context.Context, c config.Config, tel *telemetry.Telemetry) (*Bus, error) {
	conn, err := Connect(ctx, c.NATS, tel.Logger)
	if err != nil {
		return nil, err
	}
	b, err := open(ctx, conn, c, tel)
	if err != nil {
		conn.Close()
		return nil, err
	}
	return b, nil
}

func open(ctx context.Context, conn *Conn, c config.Config, tel *telemetry.Telemetry) (*Bus, error) {
	topology := NewTopology(c, conn.MaxPayload())
	bound, err := bind(ctx, conn, topology, bindOptions{names: c.Names(), create: c.Provision, log: tel.Logger})
	if err != nil {
		return nil, err
	}
	s := bound.streams
	b := &Bus{
		conn: conn, names: c.Names(), tel: tel, queues: bound.queues, slots: newSlots(c.Concurrency), memory: newMemory(c.Budget()), lanes: newLanes(c.Lanes, c.Concurrency),
		results:   &results{streams: s, source: "/gemini-client/" + c.RequestQueue, tel: tel},
		schedules: &schedules{s}, deadletters: &deadletters{s}, backlog: newBacklog(conn, c.Names(), tel.Logger, tel.Instruments.DeadLettersEvicted),
		bodies: newBodies(s), declared: newDeclared(conn, c.Names(), tel.Logger),
	}
	b.tenants = b.declared.registry
	b.cancels = newCancels(s, b.tenants)
	b.backlog.tenants = b.tenants
	b.declared.first(ctx)
	b.sources = newSources(b.tenants, bound.queues, func(want QueueConsumer) *queue {
		q := newQueue(conn, want, false) // whoever declares a tenant makes its consumers
		q.ackWait = bound.ackWait
		return q
	}, topology.Queues)
	b.budgets, b.provisions = budgetsStream(b.names, c.Replicas), c.Provision
	b.batches = &batches{streams: s, want: topology.Batch, create: c.Provision}
	b.heartbeat = newHeartbeat(s, uuid.NewString(), bound.ackWait)
	b.limits = newLimits(topology.Shared[0], c.Provision)
	b.backlog.seen = s.noteCopies
	b.results.noRoom = b.backlog.setFull
	b.backlog.setSize(root(b.names.ResponsesAll()), *s.responses.CachedInfo())
	b.claims = newClaims(b.heartbeat, longest(bound.queues), b.claimLost)
	b.rounds = newRounds(b.claims, b.results)
	tel.SetBroker(b.Server)
	tel.Instruments.ObserveMemory(b.memory.inHand)
	tel.Instruments.ObserveQueues(func() telemetry.QueueNumbers { return b.backlog.numbers(time.Now()) })
	return b, nil
}

// claimLost counts and logs a claim that another worker took over.
func (b *Bus) claimLost(subject string) {
	b.tel.Instruments.ClaimLost(context.Background())
	b.tel.Logger.Warn("another worker took over a request that was still in flight here; the first result counts", "claim", subject)
}

// Closed is closed when the connection is: by Close, or because the NATS client
// has given it up for good, which the options leave to protocol violations alone.
func (b *Bus) Closed() <-chan struct{} { return b.conn.closed }

// Tenants is what this process knows of the declared tenants.
func (b *Bus) Tenants() *tenant.Registry { return b.tenants }

// Close closes the connection.
func (b *Bus) Close() { b.conn.Close() }

// Instance names this process in claims; it is new with every start.
func (b *Bus) Instance() string { return b.heartbeat.instance }

// Server is the URL of the server that this process is connected to, without
// user, password and token; "" while there is none.
func (b *Bus) Server() string { return config.MaskURL(b.conn.ConnectedUrl()) }

// MaxRequest is the largest request body, in bytes, that leaves room for the
// headers that the service adds to it.
func (b *Bus) MaxRequest() int { return int(b.conn.MaxPayload() - payloadReserve) }

// LongestWait is how long a request may wait as a schedule: half as long as the
// records of results and cancellations are kept in the streams that this Bus found,
// so that a request which was answered or cancelled meanwhile is known as such when
// it comes back. 0 means that they are kept for ever.
func (b *Bus) LongestWait() time.Duration { return b.results.streams.recordAge / 2 }

// Handlers are what Run calls.
type Handlers struct {
	// Deliver works on a delivery and settles it. It runs on a goroutine of its
	// own for each slot, under Run's work context.
	Deliver func(ctx context.Context, d *Delivery)
	// Cancelled is called with every request that is cancelled from now on: its id, and its
	// tenant if that is isolated, else "". It must not block.
	Cancelled func(tenant, id string)
	// Resumed is called when this process is back after it was cut off NATS:
	// cancellations may have been missed. It must not block.
	Resumed func()
	// Pause returns for how long no request should be taken, and why: "" if
	// requests should be taken.
	Pause func() (time.Duration, string)
	// Limit returns how many more requests may be taken when so many are in slots;
	// nil: as many as slots are free.
	Limit func(inFlight int) int
	// MayTake returns how many more requests of a tenant, "" for all tenants together, may
	// be taken when so many are coming: they are taken, or being pulled, and nobody has said
	// that they have arrived ([Delivery.Arrived]). If none, it returns after which time it
	// should be asked again. nil: any number.
	MayTake func(tenant string, coming int) (n int, again time.Duration)
	// Deadline returns that of a request: the zero time if it has none. nil: none has.
	Deadline func(tenant string, body []byte) time.Time
	// Ended is called when every delivery is settled, before this process is dead for the
	// others; nil: nobody asks. It has as long as the work context lasts.
	Ended func(context.Context)
	// Status answers people on call; it is encoded as JSON.
	Status func() any
	// Version of the program, for those who look for services.
	Version string
}

// Run takes messages until the intake context ends and waits until all of them
// are settled. The work on them goes on under the work context. It returns nil,
// the intake context's cause if that ended before a message could be taken, or why
// it cannot listen to cancellations and questions.
func (b *Bus) Run(intake, work context.Context, h Handlers) error {
	stopStatus, err := b.answerStatus(intake, h.Version, h.Status)
	if err != nil {
		return err
	}
	defer stopStatus()
	stopCancels, err := b.cancels.follow(intake, h.Cancelled)
	if err != nil {
		return err
	}
	defer stopCancels()
	b.heartbeat.resumed = func() {
		signal(b.cancels.wake)
		b.declared.changed()
		h.Resumed()
	}
	if err := b.heartbeat.start(intake); err != nil {
		return err
	}
	alive, die := context.WithCancel(context.WithoutCancel(work))
	claiming, end := context.WithCancel(alive)
	var beside, claims sync.WaitGroup
	beside.Go(func() { b.heartbeat.run(alive) })
	beside.Go(func() { b.backlog.run(intake) })
	beside.Go(func() { b.declared.run(intake) })
	claims.Go(func() { b.claims.run(claiming) })
	b.taking.Store(true)
	b.newIntake(h).run(intake, work)
	b.taking.Store(false)
	if h.Ended != nil {
		h.Ended(work)
	}
	b.flush()
	end()
	claims.Wait() // a heartbeat that is withdrawn frees them
	die()
	beside.Wait()
	return nil
}

// flush waits until the server has read the acknowledgements, which it does not
// confirm.
func (b *Bus) flush() {
	if !b.conn.IsConnected() {
		return
	}
	if err := b.conn.FlushTimeout(requestTimeout); err != nil {
		b.tel.Logger.Debug("the last acknowledgements may be lost: their messages are delivered again", "error", err)
	}
}

// Unready returns why this process cannot take requests: "" if it can.
func (b *Bus) Unready() (why string) {
	switch {
	case !b.conn.IsConnected():
		return "NATS is not connected"
	case !b.taking.Load():
		return "no requests are taken yet, or any more"
	case b.heartbeat.expired():
		return "the heartbeat cannot be stored in stream " + b.names.ClaimsStream() + ": is it there? (gemini-client provision --missing)"
	}
	for _, q := range b.queues {
		if q.broken.Load() {
			return "the queue in stream " + q.stream + " cannot be read: is its consumer there? (gemini-client provision --missing)"
		}
	}
	return b.backlog.unready()
}

// Full returns why no requests are taken although they could be: no result could
// be stored, or those in hand take all the memory there is for them. It is "" if
// there is room.
func (b *Bus) Full() (why string) { return cmp.Or(b.backlog.full(time.Now()), b.memory.full()) }

// InFlight is the number of messages that are worked on, and how many can be at
// once.
func (b *Bus) InFlight() (n, slots int) { return b.slots.inFlight(), cap(b.slots.free) }
