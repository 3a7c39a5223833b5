package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/servicetest"
)

// testBroker is a broker on a server with the service's streams.
func testBroker(t *testing.T) (*broker, *servicetest.NATS) {
	t.Helper()
	n := servicetest.RunNATS(t)
	c, _, err := Load("")
	if err != nil {
		t.Fatal(err)
	}
	nc := n.Connect()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	if err := NewTopology(&c, nc.MaxPayload()).Provision(t.Context(), js); err != nil {
		t.Fatal(err)
	}
	b, err := newBroker(t.Context(), nc, js, c.Names(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b, n
}

func instance(b *broker, name string, life time.Duration) (*claims, chan string) {
	lost := make(chan string, 10)
	return &claims{broker: b, instance: name, life: life, lost: func(subject string) { lost <- subject }}, lost
}

const claimCallback, claimID = "gemini.responses", "7a3b1c9e-0000-4000-8000-000000000001"

func message(n uint64) delivery { return delivery{Stream: "GEMINI_REQUESTS", Sequence: n} }

func mustTake(t *testing.T, c *claims, d delivery, want claimState) *claim {
	t.Helper()
	held, state, err := c.take(t.Context(), claimCallback, claimID, d)
	if err != nil || state != want {
		t.Fatalf("take by %s for message %d: got state %d, %v; want %d", c.instance, d.Sequence, state, err, want)
	}
	return held
}

func TestClaimStates(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	one, _ := instance(b, "one", time.Minute)
	two, _ := instance(b, "two", time.Minute)
	mustTake(t, one, message(1), claimTaken)
	mustTake(t, two, message(1), claimBusy)      // the very message, elsewhere
	mustTake(t, two, message(2), claimDuplicate) // another message with this request
	mustTake(t, one, message(2), claimDuplicate)
	held := mustTake(t, one, message(1), claimTaken) // ours, whose acknowledgement was lost
	held.release(t.Context())
	mustTake(t, two, message(2), claimTaken)
}

// Another callback is another request.
func TestClaimsOfTwoCallbacks(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	one, _ := instance(b, "one", time.Minute)
	for _, callback := range []string{"gemini.responses.a", "gemini.responses.b"} {
		if _, state, err := one.take(t.Context(), callback, claimID, message(1)); state != claimTaken || err != nil {
			t.Errorf("%s: state %d, %v", callback, state, err)
		}
	}
}

// A claim that nobody renews expires; one that is renewed does not.
func TestClaimLife(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	one, _ := instance(b, "one", 2*time.Second)
	two, _ := instance(b, "two", 2*time.Second)
	held := mustTake(t, one, message(1), claimTaken)
	began := time.Now()
	stop := held.keep(t.Context())
	renewed := func() bool { return held.held() > 0 && time.Since(began) > 5*time.Second }
	for !renewed() { // more than twice its life
		mustTake(t, two, message(1), claimBusy)
	}
	stop()
	for { // now it dies, and the other takes over
		_, state, err := two.take(t.Context(), claimCallback, claimID, message(1))
		if err != nil {
			t.Fatal(err)
		}
		if state == claimTaken {
			break
		}
		if time.Since(began) > servicetest.Patience {
			t.Fatal("the claim does not expire")
		}
	}
	held.release(t.Context()) // it is not ours any more and must stay as it is
	mustTake(t, one, message(1), claimBusy)
}

// A worker that lost its claim to another is told, once.
func TestClaimLost(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	one, lost := instance(b, "one", time.Second)
	held := mustTake(t, one, message(1), claimTaken)
	two, _ := instance(b, "two", time.Minute)
	other := &claim{of: two, subject: held.subject, body: message(1).message() + " two", life: time.Minute}
	if err := other.write(t.Context(), other.body, other.life, held.held()); err != nil {
		t.Fatal(err)
	}
	stop := held.keep(t.Context())
	defer stop()
	select {
	case subject := <-lost:
		if subject != held.subject {
			t.Errorf("lost %s, want %s", subject, held.subject)
		}
	case <-time.After(servicetest.Patience):
		t.Fatal("nobody was told")
	}
	held.release(t.Context())
	mustTake(t, two, message(1), claimTaken)
}

// A claim that expired while NATS was away is taken again by its owner.
func TestClaimRenewedAfterItsExpiry(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	one, lost := instance(b, "one", time.Minute)
	held := mustTake(t, one, message(1), claimTaken)
	if err := b.claims.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	if !held.renew(t.Context()) {
		t.Error("the owner gave up a claim that nobody has")
	}
	two, _ := instance(b, "two", time.Minute)
	mustTake(t, two, message(1), claimBusy)
	if len(lost) != 0 {
		t.Error("it was called lost")
	}
}

// Of many that take at once, one gets the claim.
func TestClaimRace(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	states := make(chan claimState, 50)
	for n := range uint64(50) {
		go func() {
			c, _ := instance(b, fmt.Sprint(n), time.Minute)
			_, state, err := c.take(context.WithoutCancel(t.Context()), claimCallback, claimID, message(n+1))
			if err != nil {
				state = -1
			}
			states <- state
		}()
	}
	count := map[claimState]int{}
	for range 50 {
		count[<-states]++
	}
	if count[claimTaken] != 1 || count[claimDuplicate] != 49 {
		t.Errorf("states: %v, want 1 taken and 49 duplicates", count)
	}
}

// take ends with its context while NATS is away.
func TestClaimWithoutNATS(t *testing.T) {
	t.Parallel()
	b, n := testBroker(t)
	n.Stop()
	one, _ := instance(b, "one", time.Minute)
	ctx, cancel := context.WithCancelCause(t.Context())
	go cancel(errStopping)
	if _, _, err := one.take(ctx, claimCallback, claimID, message(1)); !errors.Is(err, errStopping) {
		t.Errorf("got %v, want the context's cause", err)
	}
	n.Start()
}
