package service

import (
	"context"
	"errors"
	"fmt"
	"log/slog"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
	"gemini-client/service/upstream"
)

// testBroker is a broker on a server with the service's streams.
func testBroker(t *testing.T) (*broker, *servicetest.NATS) {
	t.Helper()
	n := servicetest.RunNATS(t)
	c, _, err := config.Load("")
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
	b, err := newBroker(t.Context(), nc, js, c.API, c.Names(), slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	return b, n
}

// process is a living process: its sign of life is kept until the test ends,
// unless the test stops it before.
func process(t *testing.T, b *broker, name string) (*claims, chan string) {
	t.Helper()
	lives := newInstances(b, name, 3*time.Second)
	if err := lives.announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	stop := lives.keep(context.WithoutCancel(t.Context()))
	t.Cleanup(stop)
	return claimsOf(lives)
}

// dead is a process that was killed: it never had, or lost, its sign of life.
func dead(b *broker, name string) *claims {
	c, _ := claimsOf(newInstances(b, name, time.Second))
	return c
}

func claimsOf(lives *instances) (*claims, chan string) {
	lost := make(chan string, 10)
	return &claims{broker: lives.broker, lives: lives, lost: func(subject string) { lost <- subject }}, lost
}

const claimCallback, claimID = "gemini.responses", "7a3b1c9e-0000-4000-8000-000000000001"

func message(n uint64) delivery { return delivery{Stream: "GEMINI_REQUESTS", Sequence: n} }

func fired(n uint64) delivery { return delivery{Stream: "GEMINI_RETRIES", Sequence: n} }

func mustTake(t *testing.T, c *claims, d delivery, want claimState) *claim {
	t.Helper()
	held, state, err := c.take(t.Context(), claimCallback, claimID, d)
	if err != nil || state != want {
		t.Fatalf("take by %s for %s: got state %d, %v; want %d", c.lives.name, d.message(), state, err, want)
	}
	return held
}

func TestClaimStates(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	one, _ := process(t, b, "one")
	two, _ := process(t, b, "two")
	held := mustTake(t, one, message(1), claimTaken)
	mustTake(t, two, message(1), claimBusy)      // the very message, elsewhere
	mustTake(t, two, message(2), claimDuplicate) // another message with this request
	mustTake(t, two, fired(2), claimBusy)        // it may be the request's only trace
	held.release(t.Context())
	mustTake(t, two, fired(2), claimTaken)
	mustTake(t, one, message(1), claimDuplicate)
}

// What a process left behind itself does not stand in its way, and is no
// strike.
func TestClaimLeftBehind(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	one, _ := process(t, b, "one")
	mustTake(t, one, message(1), claimTaken)
	for _, d := range []delivery{message(1), message(2), fired(1)} {
		if held := mustTake(t, one, d, claimTaken); held.starts != 1 {
			t.Errorf("%s: starts %d, want 1", d.message(), held.starts)
		}
	}
}

// The claim of a dead process is taken over, and the start that never settled
// is counted, if it was this message's.
func TestClaimOfTheDead(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	mustTake(t, dead(b, "first"), message(1), claimTaken)
	for n, name := range []string{"second", "third", "fourth"} {
		if held := mustTake(t, dead(b, name), message(1), claimTaken); held.starts != n+2 {
			t.Errorf("%s: starts %d, want %d", name, held.starts, n+2)
		}
	}
	if held := mustTake(t, dead(b, "other"), message(2), claimTaken); held.starts != 1 {
		t.Errorf("another message with this request: starts %d, want 1", held.starts)
	}
	held := mustTake(t, dead(b, "last"), message(2), claimTaken)
	held.release(t.Context())
	if held := mustTake(t, dead(b, "again"), message(2), claimTaken); held.starts != 1 {
		t.Errorf("after a release: starts %d, want 1", held.starts)
	}
}

// Another callback is another request.
func TestClaimsOfTwoCallbacks(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	one, _ := process(t, b, "one")
	for _, callback := range []string{"gemini.responses.a", "gemini.responses.b"} {
		if _, state, err := one.take(t.Context(), callback, claimID, message(1)); state != claimTaken || err != nil {
			t.Errorf("%s: state %d, %v", callback, state, err)
		}
	}
}

// A process that keeps its sign of life keeps its claims, for longer than the
// sign lasts by itself; one that stops gives them up.
func TestClaimLife(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	lives := newInstances(b, "one", time.Second)
	if err := lives.announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	one, _ := claimsOf(lives)
	two, _ := process(t, b, "two")
	mustTake(t, one, message(1), claimTaken)
	stop := lives.keep(context.WithoutCancel(t.Context()))
	for began := time.Now(); time.Since(began) < 4*time.Second; {
		mustTake(t, two, message(1), claimBusy)
	}
	stop()
	untilTaken(t, two, message(1))
}

// A process that was killed loses its claims when its sign of life expires.
func TestClaimOfAKilledProcess(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	lives := newInstances(b, "killed", 5*time.Second)
	if err := lives.announce(t.Context()); err != nil {
		t.Fatal(err)
	}
	killed, _ := claimsOf(lives)
	two, _ := process(t, b, "two")
	mustTake(t, killed, message(1), claimTaken)
	mustTake(t, two, message(1), claimBusy)
	untilTaken(t, two, message(1))
}

func untilTaken(t *testing.T, c *claims, d delivery) {
	t.Helper()
	for began := time.Now(); time.Since(began) < servicetest.Patience; {
		_, state, err := c.take(t.Context(), claimCallback, claimID, d)
		if err != nil {
			t.Fatal(err)
		}
		if state == claimTaken {
			return
		}
	}
	t.Fatal("the claim stays")
}

// A worker whose claim was taken over is told when it releases it, and leaves
// the new one alone.
func TestClaimLost(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	frozen, lost := claimsOf(newInstances(b, "frozen", time.Second))
	held := mustTake(t, frozen, message(1), claimTaken)
	two, _ := process(t, b, "two")
	mustTake(t, two, message(1), claimTaken)
	held.release(t.Context())
	select {
	case subject := <-lost:
		if subject != held.subject {
			t.Errorf("lost %s, want %s", subject, held.subject)
		}
	default:
		t.Fatal("nobody was told")
	}
	three, _ := process(t, b, "three")
	mustTake(t, three, message(1), claimBusy)
}

// It is told also when the other one has finished meanwhile.
func TestClaimLostAndReleased(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	frozen, lost := claimsOf(newInstances(b, "frozen", time.Second))
	held := mustTake(t, frozen, message(1), claimTaken)
	two, _ := process(t, b, "two")
	mustTake(t, two, message(1), claimTaken).release(t.Context())
	held.release(t.Context())
	select {
	case <-lost:
	default:
		t.Fatal("nobody was told")
	}
}

// A release that NATS did not take is made good with a later sign of life.
func TestReleaseIsMadeGood(t *testing.T) {
	t.Parallel()
	b, n := testBroker(t)
	one, _ := process(t, b, "one")
	two, _ := process(t, b, "two")
	held := mustTake(t, one, message(1), claimTaken)
	n.Stop()
	held.release(t.Context())
	n.Start()
	untilTaken(t, two, message(1))
}

// Of many that take at once, one gets the claim.
func TestClaimRace(t *testing.T) {
	t.Parallel()
	b, _ := testBroker(t)
	states := make(chan claimState, 50)
	for n := range uint64(50) {
		c, _ := process(t, b, fmt.Sprint(n))
		go func() {
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
	one, _ := process(t, b, "one")
	n.Stop()
	ctx, cancel := context.WithCancelCause(t.Context())
	go cancel(upstream.ErrStopping)
	if _, _, err := one.take(ctx, claimCallback, claimID, message(1)); !errors.Is(err, upstream.ErrStopping) {
		t.Errorf("got %v, want the context's cause", err)
	}
	n.Start()
}
