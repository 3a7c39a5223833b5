package bus

import (
	"context"
	"fmt"
	"log/slog"
	"runtime/debug"
	"sync"
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
	queues   []*queue // in the order in which they are asked
	handlers Handlers
	pause    func() (time.Duration, string)
	alive    func(context.Context) bool       // heartbeat.assure
	answered func(question string, err error) // tells the backlog
	settle   func(context.Context, *Delivery, End) (Settled, error)
	conn     *Conn
	inbox    *inbox
	runners  *runners
	tel      *telemetry.Telemetry
	log      *slog.Logger
	reviving sync.WaitGroup
	revived  chan struct{} // a queue can be asked again
	paused   string        // why nothing is taken; "" if it is
}

func (b *Bus) newIntake(h Handlers) *intake {
	return &intake{
		slots: b.slots, memory: b.memory, tenants: b.tenants, full: newRepeats(b.tel.Logger), queues: b.queues, handlers: h, pause: b.pause(h.Pause), alive: b.heartbeat.assure, answered: b.backlog.setMissing, settle: b.Settle, conn: b.conn, inbox: &inbox{nc: b.conn.Conn}, runners: newRunners(),
		tel: b.tel, log: b.tel.Logger, revived: make(chan struct{}, 1),
	}
}

// pause adds what the bus itself knows to a reason for taking nothing.
func (b *Bus) pause(upstream func() (time.Duration, string)) func() (time.Duration, string) {
	return func() (time.Duration, string) {
		if why := b.backlog.full(time.Now()); why != "" {
			return time.Second, why
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
	defer in.inbox.close()
	for {
		free := in.take(intake)
		if free == 0 {
			return
		}
		if !in.memory.wait(intake, in.queues, largest(in.conn.Conn), in.sayFull) || !in.open(intake) {
			in.give(free)
			return
		}
		limit := in.limit(free)
		used, lasted := in.ask(intake, work, limit)
		in.give(free - used)
		switch {
		case limit == 0:
			sleep(intake, limitedPause)
		case used == 0 && !lasted:
			in.awaitQueue(intake)
		}
	}
}

// limit is how many of the free slots may be filled now.
func (in *intake) limit(free int) int {
	if in.handlers.Limit == nil {
		return free
	}
	return max(0, min(free, in.handlers.Limit(in.inFlight())))
}

// ask asks each queue in turn for up to n messages in all, and returns how many slots
// they use and whether a pull among them waits for messages, so that the next turn
// needs no pause before it.
func (in *intake) ask(intake, work context.Context, n int) (used int, lasted bool) {
	more := false // in a queue, than fitted into its pull
	for _, q := range in.queues {
		if q.resting.Load() {
			in.memory.pass(q)
			continue
		}
		if !q.due() {
			continue
		}
		if q.hurry = more; used < n && intake.Err() == nil && in.alive(intake) {
			lasted = lasted || q.wait > 0
			used += in.fetch(intake, work, q, n-used)
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
	granted, alone := in.memory.grant(q, fits, max(pullBytes, fits))
	if q.cut = false; granted == 0 {
		return 0
	}
	if alone {
		n = 1
	}
	q.most = granted
	err := q.pull(in.inbox, n, func(m pulled) {
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
	in.runners.run(func() { in.process(work, s, d) })
	return true
}

// process works on a message, which keepAlive keeps alive. The handler turns a panic in a
// request into a result, so what panics here is another one.
func (in *intake) process(work context.Context, s *slot, d *Delivery) {
	defer in.give(1)
	defer in.memory.release(s)
	defer in.forget(s)
	defer s.end()
	if panicked := in.guard(work, d, func() { in.handlers.Deliver(work, d) }); !s.isSettled() {
		in.guard(work, d, func() { in.leave(work, s, d, panicked) })
	}
}

// panicsMost is how often a message may be delivered that makes the service panic
// before it is claimed, where nothing counts its starts.
const panicsMost = 10

// leave ends a delivery that nobody settled: it comes again, and a panic counts as a
// start of a crash loop. If there is no claim to count it in, and it came often
// enough, it is kept as a dead letter.
func (in *intake) leave(work context.Context, s *slot, d *Delivery, panicked bool) {
	if panicked && d.claim == nil && d.Deliveries > panicsMost {
		if _, err := in.settle(work, d, End{DeadLetter: &DeadLetter{Code: events.Internal, Reason: "it makes the service panic"}}); err == nil {
			return
		}
	}
	_, _ = in.settle(work, d, End{Nack: true, After: s.queue.ackWait, Crashed: panicked}) // a nack has no error
}

// guard runs something and returns whether it panicked, which the log says.
func (in *intake) guard(work context.Context, d *Delivery, do func()) (panicked bool) {
	defer func() {
		if p := recover(); p != nil {
			panicked = true
			in.log.ErrorContext(work, "a delivery made the service panic", "panic", fmt.Sprintf("%T", p), "stream", d.Stream, "sequence", d.Sequence, "stack", string(debug.Stack()))
		}
	}()
	do()
	return false
}

// unsettled says that a message could not be settled; nothing for a nil error.
func (in *intake) unsettled(ctx context.Context, what string, err error) {
	if err != nil {
		in.log.WarnContext(ctx, "could not "+what+" a message; it will be delivered again and settled then", "error", err)
	}
}
