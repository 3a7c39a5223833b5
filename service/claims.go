package service

import (
	"context"
	"errors"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// claimState says who may call for a request.
type claimState int

const (
	claimTaken     claimState = iota // we may
	claimDuplicate                   // the owner of another queue message with this request does
	claimBusy                        // another instance has this very queue message
)

// releasedFor is how long an empty claim stays, for whoever reads it next.
const releasedFor = time.Second

// claims keep one request from being called for by two workers at once, across
// replicas. A claim is a message with a life of its own: it expires when its
// owner stops renewing it.
type claims struct {
	broker   *broker
	instance string        // ours, new with every start
	lost     func(string)  // told when a claim went to somebody else
	life     time.Duration // the shortest ack wait of the consumers
}

// claim is one that is held. keep renews it, release gives it up.
type claim struct {
	of      *claims
	subject string
	body    string
	life    time.Duration

	mu       sync.Mutex
	sequence uint64 // of our last renewal; 0 when the claim was lost
}

// take claims a request for a delivery, unless somebody else holds it. The
// error is ctx's cause.
func (c *claims) take(ctx context.Context, callback, id string, d delivery) (*claim, claimState, error) {
	mine := &claim{
		of: c, subject: c.broker.names.Claim(callback, id),
		body: d.message() + " " + c.instance, life: c.life,
	}
	expect := uint64(0)
	for {
		err := mine.write(ctx, mine.body, mine.life, expect)
		if err == nil {
			return mine, claimTaken, nil
		}
		if !errors.Is(err, errConflict) {
			return nil, claimBusy, err
		}
		held, err := c.broker.last(ctx, c.broker.claims, mine.subject)
		if err != nil {
			return nil, claimBusy, err
		}
		switch {
		case held == nil: // expired between the two
			expect = 0
		case len(held.Data) == 0: // released
			expect = held.Sequence
		case string(held.Data) == mine.body: // our own, whose acknowledgement was lost
			mine.sequence = held.Sequence
			return mine, claimTaken, nil
		case strings.HasPrefix(string(held.Data), d.message()+" "):
			return nil, claimBusy, nil
		default:
			return nil, claimDuplicate, nil
		}
	}
}

// write stores the claim if the last message of its subject has the expected
// sequence. Errors: errConflict, ctx's cause.
func (c *claim) write(ctx context.Context, body string, life time.Duration, expect uint64) error {
	b := c.of.broker
	return b.patiently(ctx, func(ctx context.Context) error {
		m := &nats.Msg{Subject: c.subject, Data: []byte(body)}
		sequence, err := b.put(ctx, m, jetstream.WithMsgTTL(ttl(life)), jetstream.WithExpectLastSequencePerSubject(expect))
		if err == nil {
			c.mu.Lock()
			c.sequence = sequence
			c.mu.Unlock()
		}
		return err
	})
}

// ttl is at least JetStream's least (1 s, ADR-43), in whole seconds.
func ttl(life time.Duration) time.Duration {
	return max(time.Second, life.Round(time.Second))
}

// keep renews the claim every third of its life until the returned function is
// called, which waits for the renewing goroutine to end. A renewal that NATS
// does not answer is tried again until the next one is due.
func (c *claim) keep(ctx context.Context) (stop func()) {
	ctx, cancel := context.WithCancel(ctx)
	done := make(chan struct{})
	go func() {
		defer close(done)
		beat := time.NewTicker(c.life / 3)
		defer beat.Stop()
		for {
			select {
			case <-ctx.Done():
				return
			case <-beat.C:
				if !c.renew(ctx) {
					return
				}
			}
		}
	}()
	return func() {
		cancel()
		<-done
	}
}

// renew returns false when the claim is not ours any more.
func (c *claim) renew(ctx context.Context) bool {
	err := c.write(ctx, c.body, c.life, c.held())
	if !errors.Is(err, errConflict) {
		return ctx.Err() == nil
	}
	last, err := c.of.broker.last(ctx, c.of.broker.claims, c.subject)
	switch {
	case err != nil:
		return false
	case last == nil: // expired while NATS was away: nobody has taken it
		err = c.write(ctx, c.body, c.life, 0)
	case string(last.Data) == c.body: // a renewal whose acknowledgement was lost
		err = c.write(ctx, c.body, c.life, last.Sequence)
	default:
		err = errConflict
	}
	if errors.Is(err, errConflict) {
		c.mu.Lock()
		c.sequence = 0
		c.mu.Unlock()
		c.of.lost(c.subject)
		return false
	}
	return err == nil
}

func (c *claim) held() uint64 {
	c.mu.Lock()
	defer c.mu.Unlock()
	return c.sequence
}

// release lets others take the claim at once. It is tried once: a claim that
// is not released expires.
func (c *claim) release(ctx context.Context) {
	sequence := c.held()
	if sequence == 0 {
		return
	}
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), brokerTimeout)
	defer cancel()
	m := &nats.Msg{Subject: c.subject}
	_, err := c.of.broker.put(ctx, m, jetstream.WithMsgTTL(releasedFor), jetstream.WithExpectLastSequencePerSubject(sequence))
	if err != nil {
		c.of.broker.log.DebugContext(ctx, "a claim was not released and will expire", "error", err)
	}
}
