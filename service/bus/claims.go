package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// claimTTL expires claims that are neither released nor taken over: much longer than a
// request is in flight.
const claimTTL = 24 * time.Hour

// claims keep one request from being called for by two workers at once, across
// replicas and restarts. A claim is a message that says which process works on
// which queue message. It holds as long as that process's heartbeat does and it
// is not released. A worker that finds the claim of a dead process takes it over
// and counts the start that never settled.
type claims struct {
	streams   *streams
	heartbeat *heartbeat
}

// claim is one that is held. It must be released.
type claim struct {
	subject  string
	sequence uint64 // of the claim's message, for compare-and-set
	holder   Holder // what that says
	gaps     int    // of the heartbeat when it was written
}

// Holder is what a claim's message says: which process works on which queue
// message.
type Holder struct {
	Stream   string
	Sequence uint64
	Instance string
	Starts   int // of this message that never settled, this one included
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

// take claims a request for a delivery: Admitted and the claim, unless a live
// process holds it (Duplicate, Busy) or may do so (Busy). The caller has made sure that this process
// does not work on the request already, so a claim of our own is one that was
// left behind. Errors: ErrRefused, ErrTooLarge, ctx's cause.
func (c *claims) take(ctx context.Context, callback, id string, d *Delivery) (*claim, State, error) {
	subject := c.streams.names.Claim(callback, id)
	mine := Holder{Stream: d.Stream, Sequence: d.Sequence, Instance: c.heartbeat.instance, Starts: 1}
	expect := uint64(0)
	for {
		gaps := c.heartbeat.gap()
		sequence, err := c.write(ctx, subject, mine, expect)
		if err == nil {
			return &claim{subject: subject, sequence: sequence, holder: mine, gaps: gaps}, Admitted, nil
		}
		if !errors.Is(err, errConflict) {
			return nil, Busy, err
		}
		held, err := c.streams.last(ctx, c.streams.claims, subject)
		if err != nil {
			return nil, Busy, err
		}
		owner, ok := parseHeld(held)
		if !ok { // expired, or released
			expect = sequenceOf(held)
			continue
		}
		switch life, err := c.heartbeat.of(ctx, owner.Instance); {
		case err != nil:
			return nil, Busy, err
		case life == alive:
			return nil, yield(owner, d), nil
		case life == uncertain:
			return nil, Busy, nil
		}
		expect, mine.Starts = held.Sequence, inherit(owner, c.heartbeat.instance, d)
	}
}

// keep reports whether a claim still holds: it asks NATS only if the heartbeat had
// a gap since the claim was written, in which another process may have taken the
// claim over. Once the heartbeat is there again, nobody does. The error is ctx's cause.
func (c *claims) keep(ctx context.Context, held *claim) (bool, error) {
	for !c.heartbeat.unbroken(held.gaps) {
		if !c.heartbeat.assure(ctx) {
			return false, context.Cause(ctx)
		}
		held.gaps = c.heartbeat.gap()
		there, err := c.streams.last(ctx, c.streams.claims, held.subject)
		if err != nil {
			return false, err
		}
		if sequenceOf(there) != held.sequence {
			return false, nil
		}
	}
	return true, nil
}

// crashed is the instance of a claim that was left by a panic: as if its process had
// died, the next start counts this one.
const crashed = "crashed"

// abandon leaves a claim behind for the next start to count. If NATS is away it stays
// as it is, and that start is not counted. A nil claim is none.
func (c *claims) abandon(ctx context.Context, held *claim) {
	if held == nil {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), requestTimeout)
	defer cancel()
	left := held.holder
	left.Instance = crashed
	if _, err := c.write(ctx, held.subject, left, held.sequence); err != nil {
		c.streams.log.WarnContext(ctx, "a panic was not counted as a start of a crash loop", "claim", held.subject, "error", err)
	}
}

// parseHeld reads the claim that stands on a subject. One that cannot be read
// has no owner, but is there.
func parseHeld(m *jetstream.RawStreamMsg) (Holder, bool) {
	if m == nil || len(m.Data) == 0 {
		return Holder{}, false
	}
	h, _ := ParseHolder(m.Data)
	return h, true
}

func sequenceOf(m *jetstream.RawStreamMsg) uint64 {
	if m == nil {
		return 0
	}
	return m.Sequence
}

// yield is the state of a delivery whose request a live process works on. A
// duplicate in the request queue may go: the owner's message is still there, or
// it was settled with a result or a schedule. What comes through the retries may
// be all that is left of the request, so it is delivered again until there is a
// result.
func yield(owner Holder, d *Delivery) State {
	if owner.sameMessage(d) || d.Retried {
		return Busy
	}
	return Duplicate
}

// inherit counts the starts of a queue message: one more than its dead owner had,
// if that had this very message. A claim that this process left behind is no
// crash.
func inherit(owner Holder, us string, d *Delivery) int {
	if owner.Instance == us || !owner.sameMessage(d) {
		return 1
	}
	return owner.Starts + 1
}

// write stores a claim if the last message of its subject has the expected
// sequence. Errors: errConflict, ErrRefused, ErrTooLarge, ctx's cause.
func (c *claims) write(ctx context.Context, subject string, h Holder, expect uint64) (uint64, error) {
	return c.streams.put(ctx, func() *nats.Msg { return &nats.Msg{Subject: subject, Data: []byte(h.String())} },
		jetstream.WithMsgTTL(claimTTL), jetstream.WithExpectLastSequencePerSubject(expect))
}
