package service

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"strings"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// claimState says who may call for a request.
type claimState int

const (
	claimTaken     claimState = iota // we may
	claimDuplicate                   // the owner of another queue message with this request does
	claimBusy                        // somebody has it; this message has to come again
)

// claims keep one request from being called for by two workers at once, across
// replicas and restarts. A claim is a message that says which process works on
// which queue message; it holds as long as that process lives (instances) and
// does not release it. Whoever finds the claim of a dead process takes it over,
// and counts the start that never settled.
type claims struct {
	broker *broker
	lives  *instances
	lost   func(subject string) // told when a claim went to somebody else
}

// claim is one that is held. It must be released.
type claim struct {
	of       *claims
	subject  string
	sequence uint64 // of the claim's message, for compare-and-set
	starts   int    // of this queue message that never settled, this one included
}

// claimBody is what a claim's message says.
type claimBody struct {
	stream   string
	sequence uint64
	instance string
	starts   int
}

func (b claimBody) String() string {
	return fmt.Sprintf("%s %d %s %d", b.stream, b.sequence, b.instance, b.starts)
}

// parseClaim reads a claim; what cannot be read belongs to nobody.
func parseClaim(text []byte) claimBody {
	fields := strings.Fields(string(text))
	if len(fields) != 4 {
		return claimBody{}
	}
	sequence, _ := strconv.ParseUint(fields[1], 10, 64)
	starts, _ := strconv.Atoi(fields[3])
	return claimBody{stream: fields[0], sequence: sequence, instance: fields[2], starts: starts}
}

func (b claimBody) sameMessage(d delivery) bool {
	return b.stream == d.Stream && b.sequence == d.Sequence
}

// take claims a request for a delivery, unless a living process holds it. The
// caller has made sure that this process does not work on the request already
// (atWork), so a claim of our own is one that was left behind. The error is
// ctx's cause.
func (c *claims) take(ctx context.Context, callback, id string, d delivery) (*claim, claimState, error) {
	subject := c.broker.names.Claim(callback, id)
	mine := claimBody{stream: d.Stream, sequence: d.Sequence, instance: c.lives.name, starts: 1}
	expect := uint64(0)
	for {
		sequence, err := c.write(ctx, subject, mine, expect)
		if err == nil {
			return &claim{of: c, subject: subject, sequence: sequence, starts: mine.starts}, claimTaken, nil
		}
		if !errors.Is(err, errConflict) {
			return nil, claimBusy, err
		}
		held, err := c.broker.last(ctx, c.broker.claims, subject)
		if err != nil {
			return nil, claimBusy, err
		}
		if held == nil || len(held.Data) == 0 { // expired, or released
			expect = sequenceOf(held)
			continue
		}
		owner := parseClaim(held.Data)
		alive, err := c.lives.elsewhere(ctx, owner.instance)
		if err != nil {
			return nil, claimBusy, err
		}
		if alive {
			return nil, c.yield(owner, d), nil
		}
		expect, mine.starts = held.Sequence, inherit(owner, c.lives.name, d)
	}
}

func sequenceOf(m *jetstream.RawStreamMsg) uint64 {
	if m == nil {
		return 0
	}
	return m.Sequence
}

// yield says what a delivery is whose request a living process works on. A
// duplicate in the request queue may go: the owner's message is still there,
// or it was settled with a result or a schedule. What comes out of the retries
// may be the request's only trace, so it comes again until there is a result.
func (c *claims) yield(owner claimBody, d delivery) claimState {
	if owner.sameMessage(d) || d.Stream != c.broker.names.RequestsStream() {
		return claimBusy
	}
	return claimDuplicate
}

// inherit counts the starts of a queue message: one more than its dead owner
// had, if that had this very message. What we left behind ourselves was no
// death.
func inherit(owner claimBody, us string, d delivery) int {
	if owner.instance == us || !owner.sameMessage(d) {
		return 1
	}
	return owner.starts + 1
}

// write stores a claim if the last message of its subject has the expected
// sequence. Errors: errConflict, ctx's cause.
func (c *claims) write(ctx context.Context, subject string, body claimBody, expect uint64) (sequence uint64, err error) {
	err = c.broker.patiently(ctx, func(ctx context.Context) error {
		m := &nats.Msg{Subject: subject, Data: []byte(body.String())}
		sequence, err = c.broker.put(ctx, m, jetstream.WithMsgTTL(claimLife), jetstream.WithExpectLastSequencePerSubject(expect))
		return err
	})
	return sequence, err
}

// release lets others take the claim at once. What NATS does not take now is
// released as soon as it does.
func (c *claim) release(ctx context.Context) {
	c.of.lives.release(ctx, c.subject, c.sequence, c.of.lost)
}

// ClaimHolder is what a claim says: which process works on which queue message.
type ClaimHolder struct {
	Stream   string
	Sequence uint64
	Instance string
	Starts   int // of this message that never settled, this one included
}

// ReadClaim reads the body of a claim's message; false if nobody holds it.
func ReadClaim(body []byte) (ClaimHolder, bool) {
	b := parseClaim(body)
	return ClaimHolder{Stream: b.stream, Sequence: b.sequence, Instance: b.instance, Starts: b.starts}, b.instance != ""
}
