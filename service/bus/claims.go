package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// How long claims last. A claim is not released when its request has its result: it
// ends by its TTL. So whoever finds no claim and no result, in whatever order, may
// call: a result that he has just missed has left its claim. (With release, and both
// asked at the same time, 623 of 4,000 requests with copies were called for twice.)
const (
	claimTTL   = 2 * time.Minute // at least, and renewAfter and two ack waits
	renewAfter = time.Minute     // a claim of a call that takes longer is renewed
	// remembered is how long the starts of a message are: whatever may belong to a crash
	// loop lives so long, also where the next start is an hour away.
	remembered = 24 * time.Hour
)

// claims keep one request from being called for by two workers at once, across
// replicas and restarts. A claim is a message that says which process works on
// which queue message. It holds as long as that process's heartbeat does. A worker
// that finds the claim of a dead process takes it over and counts the start that
// never settled. What is no longer worked on and has no result leaves a mark
// (marks.go).
type claims struct {
	streams   *streams
	heartbeat *heartbeat
	ttl       time.Duration // of the claim of a message that comes for the first time
	lost      func(subject string)

	mu      sync.Mutex
	held    map[string]*claim // by subject
	pending map[*claim]mark   // which NATS has not taken yet
}

// newClaims returns those of a process. lost is called with the subject of each that
// another process took over.
func newClaims(h *heartbeat, ackWait time.Duration, lost func(subject string)) *claims {
	return &claims{
		streams: h.streams, heartbeat: h, ttl: max(claimTTL, renewAfter+2*ackWait), lost: lost,
		held: map[string]*claim{}, pending: map[*claim]mark{},
	}
}

// claim is one that is held, until it is let go or marked.
type claim struct {
	subject string
	first   bool // nothing was known of the request, nor was this message delivered before

	unanswered bool // there was no result when it was taken

	mu       sync.Mutex
	holder   Holder // what the claim's message says
	sequence uint64 // of that, for compare-and-set
	life     time.Duration
	written  time.Time
	gaps     int  // of the heartbeat when it was written
	expired  bool // it was found so, and stored anew
	taken    bool // another process has it
}

// Holder is what a claim's message says: which process works on which queue
// message.
type Holder struct {
	Stream   string
	Sequence uint64
	Instance string // or a mark, in its place
	Starts   int    // of this message that never settled, this one included
}

// String is the body of the claim's message.
func (h Holder) String() string {
	return fmt.Sprintf("%s %d %s %d", h.Stream, h.Sequence, h.Instance, h.Starts)
}

// ParseHolder reads the body of a claim's message; false if it is
// released or cannot be read.
func ParseHolder(body []byte) (Holder, bool) {
	fields := strings.Fields(string(body))
	if len(fields) != 4 {
		return Holder{}, false
	}
	sequence, _ := strconv.ParseUint(fields[1], 10, 64)
	starts, _ := strconv.Atoi(fields[3])
	return Holder{Stream: fields[0], Sequence: sequence, Instance: fields[2], Starts: starts}, true
}

func (h Holder) sameMessage(d *Delivery) bool {
	return h.Stream == d.Stream && h.Sequence == d.Sequence
}

// fresh is the claim of a delivery whose request nobody has claimed. A message of the
// request queue that was delivered before and has left neither claim nor mark was
// started more than two minutes ago and never settled, or never got so far as to be
// claimed. It counts as started twice: an innocent one that starts a third time is
// rescheduled apart from others for it, once, and not failed.
func (c *claims) fresh(subject string, d *Delivery) *claim {
	again := d.Retried || d.Deliveries > 1
	one := &claim{subject: subject, holder: Holder{Stream: d.Stream, Sequence: d.Sequence, Instance: c.heartbeat.instance, Starts: 1}, life: c.ttl, first: !again}
	if again {
		one.life = remembered
	}
	if again && !d.Retried {
		one.holder.Starts = 2
	}
	return one
}

// take claims a request that nobody has claimed. Errors: errConflict, if somebody may
// have; ErrRefused, ErrTooLarge, ctx's cause.
func (c *claims) take(ctx context.Context, callback, id string, d *Delivery) (*claim, error) {
	if c.heartbeat.doubts(d) > 0 {
		return nil, errConflict
	}
	one := c.fresh(c.streams.names.Claim(callback, id), d)
	return one, c.write(ctx, one, 0)
}

// obtain takes a claim or takes it over, and returns what that returns.
func (c *claims) obtain(ctx context.Context, callback, id string, d *Delivery) (*claim, State, error) {
	one, err := c.take(ctx, callback, id, d)
	if errors.Is(err, errConflict) {
		return c.takeOver(ctx, callback, id, d)
	}
	return one, Admitted, err
}

// takeOver claims a request that somebody may have claimed: Admitted and the claim,
// unless a live process holds it (Duplicate, Busy) or may do so (Busy). The caller has
// made sure that this process does not work on the request already, so a claim of our
// own is one that was left behind. Errors: ErrRefused, ErrTooLarge, ctx's cause.
func (c *claims) takeOver(ctx context.Context, callback, id string, d *Delivery) (*claim, State, error) {
	for {
		one := c.fresh(c.streams.names.Claim(callback, id), d)
		held, err := c.streams.last(ctx, c.streams.claims, one.subject)
		if err != nil {
			return nil, Busy, err
		}
		if wait := c.heartbeat.doubts(d); held == nil && wait > 0 {
			if !sleep(ctx, wait) {
				return nil, Busy, context.Cause(ctx)
			}
			continue
		}
		if state, err := c.succeed(ctx, one, held, d); err != nil || state != Admitted {
			return nil, state, err
		}
		if err := c.write(ctx, one, sequenceOf(held)); !errors.Is(err, errConflict) {
			return one, Admitted, err
		}
	}
}

// succeed returns Admitted if a claim may take the place of what is held, having counted
// the starts of that; else what becomes of the delivery, as takeOver has it.
func (c *claims) succeed(ctx context.Context, one *claim, held *jetstream.RawStreamMsg, d *Delivery) (State, error) {
	if held == nil {
		return Admitted, nil
	}
	one.first, one.life = false, remembered
	life, starts, err := c.inherit(ctx, held, d)
	switch {
	case err != nil || life == uncertain:
		return Busy, err
	case life == alive:
		owner, _ := ParseHolder(held.Data)
		return yield(owner.Stream, owner.Sequence, d), nil
	}
	one.holder.Starts = starts
	return Admitted, nil
}

// inherit returns whether the owner of a claim lives and, where it does not, how often
// this message was started with this start: once more than its dead owner says, if
// that had this very message. A claim that this process left behind is no crash: it may
// be this very one, whose acknowledgement was lost. Neither is a mark, but that of one.
// The errors are those of heartbeat.of.
func (c *claims) inherit(ctx context.Context, held *jetstream.RawStreamMsg, d *Delivery) (life, int, error) {
	owner, ok := ParseHolder(held.Data)
	if !ok && len(held.Data) == 0 { // released, by a worker of an older version
		return gone, 1, nil
	}
	life, err := c.heartbeat.of(ctx, owner.Instance)
	switch {
	case !owner.sameMessage(d):
		return life, 1, err
	case owner.Instance == c.heartbeat.instance:
		return life, max(1, owner.Starts), err
	}
	return life, owner.Starts + 1, err
}

func sequenceOf(m *jetstream.RawStreamMsg) uint64 {
	if m == nil {
		return 0
	}
	return m.Sequence
}

// yield is the state of a delivery whose request is worked on for another message. In
// the request queue the later of two may go, and never the earlier: so the first one
// stays until there is a result or a schedule, whoever compares which two of them,
// however late an acknowledgement arrives, and whether or not the worker of the other
// still lives. (A message that was being admitted went for the claim of an earlier one,
// whose worker had been killed; and that one, delivered again beside it, for the one
// that was being admitted.) What comes through the retries may be all that is left of
// the request, so it is delivered again until there is a result.
func yield(stream string, sequence uint64, d *Delivery) State {
	if d.Retried || stream == d.Stream && sequence >= d.Sequence {
		return Busy
	}
	return Duplicate
}

// write stores a claim if the last message of its subject has the expected
// sequence, and has it renewed from then on. Errors: errConflict, ErrRefused,
// ErrTooLarge, ctx's cause.
func (c *claims) write(ctx context.Context, one *claim, expect uint64) error {
	one.gaps, one.written = c.heartbeat.gap(), time.Now()
	c.hold(one)
	sequence, err := c.put(ctx, one.subject, mark{one.holder, one.life}, expect)
	if err != nil {
		c.letGo(one)
		return err
	}
	one.stored(sequence)
	return nil
}

// stored notes the sequence of a claim.
func (one *claim) stored(sequence uint64) {
	one.mu.Lock()
	defer one.mu.Unlock()
	one.sequence = sequence
}

// message is that of a claim which nobody may have taken before.
func (c *claims) message(one *claim) *nats.Msg {
	m := &nats.Msg{Subject: one.subject, Data: []byte(one.holder.String()), Header: make(nats.Header, 2)}
	withTTL(wholeTTL(one.life))(m.Header)
	expectLast(0)(m.Header)
	return m
}

// hold has a claim renewed. It comes before the claim is stored, lest the mark of an
// earlier one of this message, which NATS has not taken yet, be put in its place.
func (c *claims) hold(one *claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.held[one.subject] = one
}

// letGo has a claim end by its TTL.
func (c *claims) letGo(one *claim) {
	c.mu.Lock()
	defer c.mu.Unlock()
	if c.held[one.subject] == one {
		delete(c.held, one.subject)
	}
}

// superseded reports whether this process has claimed the request again.
func (c *claims) superseded(one *claim) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	there := c.held[one.subject]
	return there != nil && there != one
}

// put stores what a claim says for a time, if the last message of its subject has the
// expected sequence. Errors: errConflict, ErrRefused, ErrTooLarge, ctx's cause.
func (c *claims) put(ctx context.Context, subject string, m mark, expect uint64) (uint64, error) {
	return c.streams.put(ctx, func() *nats.Msg { return &nats.Msg{Subject: subject, Data: []byte(m.says.String())} },
		withTTL(wholeTTL(m.life)), expectLast(expect))
}
