package bus

import (
	"cmp"
	"context"
	"log/slog"
	"slices"
	"sync"
	"sync/atomic"
	"time"

	"gemini-client/events"
	"gemini-client/service/tenant"
	"gemini-client/telemetry"
)

// limitedPause is how long the intake waits before it asks again whether it may
// take more.
const limitedPause = 100 * time.Millisecond

// maxPull bounds one pull, and with it the client's buffer for it.
const maxPull = 256

// intake takes messages from the queues, one for each free slot and never more,
// and gives each to a goroutine. It belongs to one Run.
type intake struct {
	*slots
	memory   *memory
	tenants  *tenant.Registry
	full     *repeats // says that memory is used up
	queues   []*queue // the service's own, in the order in which they are asked
	sources  *sources // these and those of the declared tenants
	lanes    lanes
	handlers Handlers
	pause    func() (time.Duration, string)
	alive    func(context.Context) bool       // heartbeat.assure
	answered func(question string, err error) // tells the backlog
	settle   func(context.Context, *Delivery, End) (Settled, error)
	conn     *Conn
	runners  *runners
	tel      *telemetry.Telemetry
	log      *slog.Logger
	reviving sync.WaitGroup
	revived  chan struct{} // a queue can be asked again
	sharing  atomic.Bool   // the slots are shared
	asking   atomic.Int64  // messages that pulls ask for, for slots that are taken
	looks    chan struct{} // holds one for each message that is looked at for its deadline
	served   float64       // what those that wait were given at least
	pulls    sync.WaitGroup
	news     chan struct{} // something has changed, where the slots are shared
	paused   string        // why nothing is taken; "" if it is
}

func (b *Bus) newIntake(h Handlers) *intake {
	return &intake{
		slots: b.slots, memory: b.memory, tenants: b.tenants, full: newRepeats(b.tel.Logger), queues: polledFirst(b.queues), handlers: h, pause: b.pause(h.Pause), alive: b.heartbeat.assure, answered: b.backlog.setMissing, settle: b.Settle, conn: b.conn, runners: newRunners(),
		sources: b.sources, lanes: b.lanes, tel: b.tel, log: b.tel.Logger, looks: make(chan struct{}, looksAtOnce), revived: make(chan struct{}, 1), news: make(chan struct{}, 1),
	}
}

// polledFirst puts the queues first whose pulls do not wait.
func polledFirst(queues []*queue) []*queue {
	return slices.SortedStableFunc(slices.Values(queues), func(a, b *queue) int { return cmp.Compare(a.wait, b.wait) })
}

// pause adds what the bus itself knows to a reason for taking nothing.
func (b *Bus) pause(upstream func() (time.Duration, string)) func() (time.Duration, string) {
	return func() (time.Duration, string) {
		if why := b.backlog.full(time.Now()); why != "" {
			return time.Second, why
		}
		if why := b.declared.unknown(); why != "" {
			return limitedPause, why
		}
		return upstream()
	}
}

// run takes messages until intake ends and then waits until every slot is free
// again. The work itself goes on under work.
func (in *intake) run(intake, work context.Context) {
	defer in.keepAlive(work)()
	defer in.runners.close()
	defer in.reviving.Wait()
	defer in.sources.close()
	defer in.pulls.Wait()
	in.sources.tenants.OnChange(func() {
		in.sources.stale.Store(true)
		signal(in.news)
	})
	for more := true; more; {
		shared := in.sources.shared()
		if in.sharing.Store(shared); shared {
			more = in.turn(intake, work)
		} else {
			more = in.alone(intake, work)
		}
	}
}

// alone gives the free slots to one queue of requests, where there is no other to share
// them with: a pull for all of them waits for messages. It returns false when intake ends.
func (in *intake) alone(intake, work context.Context) bool {
	free := in.take(intake)
	if free == 0 {
		return false
	}
	if !in.memory.wait(intake, in.queues, largest(in.conn.Conn), in.sayFull) || !in.open(intake) {
		in.give(free)
		return false
	}
	limit := in.limit(free, 0)
	its := limit // of the default tenant's
	if in.handlers.MayTake != nil {
		its = min(limit, in.mayTakeAlone(intake, work))
	}
	used, lasted := in.ask(intake, work, limit, its)
	in.give(free - used)
	switch {
	case its == 0:
		sleep(intake, limitedPause)
	case used == 0 && !lasted:
		in.awaitQueue(intake)
	}
	return true
}

// mayTakeAlone is how many more requests of the default tenant may be taken.
func (in *intake) mayTakeAlone(intake, work context.Context) int {
	n, _ := in.handlers.MayTake(events.DefaultTenant, in.sources.of(events.DefaultTenant).comingNow())
	if n <= 0 {
		in.watchHeld(intake, work, in.queues)
	}
	return max(0, n)
}

// limit is how many of the free slots may be filled now, beside what is asked for already,
// of which the caller's own does not count.
func (in *intake) limit(free, own int) int {
	asking := int(in.asking.Load()) - own
	if in.handlers.Limit != nil {
		free = min(free, in.handlers.Limit(in.inFlight()+asking))
	}
	if in.handlers.MayTake != nil && free > 0 {
		all, _ := in.handlers.MayTake("", int(in.sources.coming.Load())+asking)
		free = min(free, all)
	}
	return max(0, free)
}

// ask asks each queue in turn for up to n messages in all, and those of requests for up to
// its, and returns how many slots they use and whether a pull among them waits for messages, so that the next turn
// needs no pause before it.
func (in *intake) ask(intake, work context.Context, n, its int) (used int, lasted bool) {
	more := false // in a queue, than fitted into its pull
	for _, q := range in.queues {
		if q.resting.Load() {
			in.memory.pass(q)
			continue
		}
		if q.pulling.Load() || !q.due() {
			continue
		}
		most := q.turn(n-used, its-used)
		if q.hurry = more; most > 0 && intake.Err() == nil && in.alive(intake) {
			lasted = lasted || q.wait > 0
			used += in.fetch(intake, work, q, most)
			more = more || q.cut
		}
	}
	return used, lasted
}

// awaitQueue waits until a queue that rests can be asked again, until it is time to
// ask the others, or until intake ends.
func (in *intake) awaitQueue(intake context.Context) {
	again := time.NewTimer(idlePull)
	defer again.Stop()
	select {
	case <-in.revived:
	case <-in.news:
	case <-again.C:
	case <-intake.Done():
	}
}

// open waits while the intake is paused, with one line in the log at each
// change; false when intake ends.
func (in *intake) open(intake context.Context) bool {
	for {
		wait, why := in.pause()
		if why != in.paused {
			in.paused = why
			if why != "" {
				in.log.WarnContext(intake, "taking no requests: "+why, "looking_again_in", wait.Round(10*time.Millisecond))
			} else {
				in.log.InfoContext(intake, "taking requests again")
			}
		}
		if why == "" {
			return intake.Err() == nil
		}
		if !sleep(intake, min(wait, time.Second)) {
			return false
		}
	}
}

func (in *intake) sayFull() {
	in.full.say("taking no requests until some of those in hand have ended", errMemoryFull)
}

// sleep waits; false when ctx ends first.
func sleep(ctx context.Context, d time.Duration) bool {
	timer := time.NewTimer(d)
	defer timer.Stop()
	select {
	case <-timer.C:
		return true
	case <-ctx.Done():
		return false
	}
}

// fetch pulls up to n messages and puts each into a slot as it comes. It returns
// how many slots it used.
func (in *intake) fetch(intake, work context.Context, q *queue, n int) int {
	used, fits := 0, largest(in.conn.Conn)
	n = in.memory.messages(n)
	granted, alone := in.memory.grant(q, fits, max(min(int64(n)*fits, pullBytes), fits))
	if q.cut = false; granted == 0 {
		q.more = true
		return 0
	}
	if alone {
		n = 1
	}
	q.most = granted
	err := q.pull(&q.inbox, n, func(m pulled) {
		if intake.Err() != nil { // it came while we were stopping
			in.unsettled(work, "nack", m.nak(0))
			return
		}
		if in.begin(work, q, m) {
			used++
		}
	})
	in.memory.ended(q, granted, fits, err == nil && q.cut)
	q.asked, q.more = time.Now(), used == n || q.cut
	if err != nil {
		in.failing(intake, q, err)
	} else {
		in.readable(work, q)
	}
	return used
}

// begin puts a message into a slot, unless it is in one already.
func (in *intake) begin(work context.Context, q *queue, m pulled) bool {
	meta, err := m.Metadata()
	if err != nil {
		in.log.ErrorContext(work, "a message without JetStream's reply subject", "error", err)
		return false
	}
	s := newSlot(in, q, m, messageKey{q.stream, meta.Sequence.Stream, meta.Timestamp})
	if !in.occupy(s) {
		return false
	}
	d := &Delivery{
		Body: m.Data, Header: m.Header, Queue: q.subject, Stream: q.stream, Sequence: meta.Sequence.Stream,
		Deliveries: meta.NumDelivered, Stored: meta.Timestamp, Taken: time.Now(), Retried: q.retries, slot: s,
	}
	d.Tenant, d.Lane = q.tenant, q.lane
	d.guardReplay()
	d.isolate(in.tenants)
	in.memory.take(s, m.Msg)
	m.lighten()
	q.left.Store(int64(min(meta.NumPending, 1<<62)))
	q.inFlight.Add(1)
	q.last.Store(d.Taken.UnixNano())
	in.sources.begin(s, d.Tenant)
	in.runners.run(func() { in.process(work, s, d) })
	return true
}

// unsettled says that a message could not be settled; nothing for a nil error.
func (in *intake) unsettled(ctx context.Context, what string, err error) {
	if err != nil {
		in.log.WarnContext(ctx, "could not "+what+" a message; it will be delivered again and settled then", "error", err)
	}
}
