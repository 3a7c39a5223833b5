package bus

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"sync"
	"testing"
	"time"

	"gemini-client/service/servicetest"
)

// testStreams are the service's streams on a server of their own.
func testStreams(t *testing.T) (*streams, *servicetest.NATS) {
	t.Helper()
	b := setup(t)
	return b.streams(), b.nats
}

// process is a living process: it has a heartbeat until the test ends.
func process(t *testing.T, s *streams, name string) (*claims, chan string) {
	t.Helper()
	c, lost := claimsOf(s, name, 3*time.Second)
	runs(t, c)
	return c, lost
}

// runs keeps up the claims of a process, and its heartbeat, until the test ends.
func runs(t *testing.T, c *claims) {
	t.Helper()
	beats(t, c.heartbeat)
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		c.run(ctx)
	}()
	t.Cleanup(func() { cancel(); <-done })
}

// beats keeps a heartbeat until stop is called, or the test ends.
func beats(tb testing.TB, h *heartbeat) (stop func()) {
	tb.Helper()
	if err := h.start(tb.Context()); err != nil {
		tb.Fatal(err)
	}
	ctx, cancel := context.WithCancel(context.Background())
	done := make(chan struct{})
	go func() {
		defer close(done)
		h.run(ctx)
	}()
	stop = func() { cancel(); <-done }
	tb.Cleanup(stop)
	return stop
}

// dead is a process that was killed: it never had, or lost, its heartbeat.
func dead(s *streams, name string) *claims {
	c, _ := claimsOf(s, name, time.Second)
	c.heartbeat.connected()
	return c
}

func claimsOf(s *streams, name string, ttl time.Duration) (*claims, chan string) {
	lost := make(chan string, 10)
	return newClaims(newHeartbeat(s, name, ttl), ttl, func(subject string) { lost <- subject }), lost
}

// connected makes a heartbeat think that it is stored, and was without a gap.
func (h *heartbeat) connected() {
	h.stored(time.Now().Add(time.Hour), h.connection())
	h.since = time.Time{}
}

// errTest is the cause of contexts that end in tests.
var errTest = errors.New("the test ends it")

const claimCallback, claimID = "gemini.responses", "7a3b1c9e-0000-4000-8000-000000000001"

func message(n uint64) *Delivery { return &Delivery{Stream: "GEMINI_REQUESTS", Sequence: n} }

func fired(n uint64) *Delivery {
	return &Delivery{Stream: "GEMINI_RETRIES", Sequence: n, Retried: true}
}

func mustTake(t *testing.T, c *claims, d *Delivery, want State) *claim {
	t.Helper()
	held, state, err := c.obtain(t.Context(), claimCallback, claimID, d)
	if err != nil || state != want {
		t.Fatalf("take by %s for %s: got state %d, %v; want %d", c.heartbeat.instance, d.message(), state, err, want)
	}
	return held
}

func TestClaimStates(t *testing.T) {
	t.Parallel()
	b, _ := testStreams(t)
	one, _ := process(t, b, "one")
	two, _ := process(t, b, "two")
	held := mustTake(t, one, message(1), Admitted)
	mustTake(t, two, message(1), Busy)      // the very message, elsewhere
	mustTake(t, two, message(2), Duplicate) // another message with this request
	mustTake(t, two, fired(2), Busy)        // it may be the request's only trace
	one.leave(t.Context(), held, markReturned, remembered)
	mustTake(t, two, fired(2), Admitted)
	mustTake(t, one, message(1), Duplicate)
}

// A claim that a process left behind does not block itself, and counts as no
// crash.
func TestClaimLeftBehind(t *testing.T) {
	t.Parallel()
	b, _ := testStreams(t)
	one, _ := process(t, b, "one")
	mustTake(t, one, message(1), Admitted)
	for _, d := range []*Delivery{message(1), message(2), fired(1)} {
		if held := mustTake(t, one, d, Admitted); held.holder.Starts != 1 {
			t.Errorf("%s: starts %d, want 1", d.message(), held.holder.Starts)
		}
	}
}

// The claim of a dead process is taken over, and the start that never settled
// is counted, if it was this message's.
func TestClaimOfTheDead(t *testing.T) {
	t.Parallel()
	b, _ := testStreams(t)
	mustTake(t, dead(b, "first"), message(1), Admitted)
	for n, name := range []string{"second", "third", "fourth"} {
		if held := mustTake(t, dead(b, name), message(1), Admitted); held.holder.Starts != n+2 {
			t.Errorf("%s: starts %d, want %d", name, held.holder.Starts, n+2)
		}
	}
	if held := mustTake(t, dead(b, "other"), message(2), Admitted); held.holder.Starts != 1 {
		t.Errorf("another message with this request: starts %d, want 1", held.holder.Starts)
	}
	last := dead(b, "last")
	held := mustTake(t, last, message(2), Admitted)
	last.leave(t.Context(), held, markReturned, remembered)
	if held := mustTake(t, dead(b, "again"), message(2), Admitted); held.holder.Starts != 1 {
		t.Errorf("after it was given back: starts %d, want 1", held.holder.Starts)
	}
}

// Another callback is another request.
func TestClaimsOfTwoCallbacks(t *testing.T) {
	t.Parallel()
	b, _ := testStreams(t)
	one, _ := process(t, b, "one")
	for _, callback := range []string{"gemini.responses.a", "gemini.responses.b"} {
		if _, state, err := one.obtain(t.Context(), callback, claimID, message(1)); state != Admitted || err != nil {
			t.Errorf("%s: state %d, %v", callback, state, err)
		}
	}
}

// A process that keeps its heartbeat keeps its claims, for longer than the
// sign lasts by itself; one that stops gives them up.
func TestClaimLife(t *testing.T) {
	t.Parallel()
	b, _ := testStreams(t)
	one, _ := claimsOf(b, "one", time.Second)
	if err := one.heartbeat.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	two, _ := process(t, b, "two")
	mustTake(t, one, message(1), Admitted)
	stop := beats(t, one.heartbeat)
	tick := time.NewTicker(100 * time.Millisecond)
	defer tick.Stop()
	for range 40 { // longer than a heartbeat lasts by itself
		<-tick.C
		mustTake(t, two, message(1), Busy)
	}
	stop()
	untilTaken(t, two, message(1))
}

// A process that was killed loses its claims when its heartbeat expires.
func TestClaimOfAKilledProcess(t *testing.T) {
	t.Parallel()
	b, _ := testStreams(t)
	killed, _ := claimsOf(b, "killed", 5*time.Second)
	if err := killed.heartbeat.start(t.Context()); err != nil {
		t.Fatal(err)
	}
	two, _ := process(t, b, "two")
	mustTake(t, killed, message(1), Admitted)
	mustTake(t, two, message(1), Busy)
	untilTaken(t, two, message(1))
}

func untilTaken(t *testing.T, c *claims, d *Delivery) {
	t.Helper()
	tick := time.NewTicker(10 * time.Millisecond)
	defer tick.Stop()
	for began := time.Now(); time.Since(began) < servicetest.Patience; <-tick.C {
		_, state, err := c.obtain(t.Context(), claimCallback, claimID, d)
		if err != nil {
			t.Fatal(err)
		}
		if state == Admitted {
			return
		}
	}
	t.Fatal("the claim stays")
}

// A worker whose claim was taken over is told when it gives it up, and leaves
// the new one alone.
func TestClaimLost(t *testing.T) {
	t.Parallel()
	b, _ := testStreams(t)
	frozen, lost := claimsOf(b, "frozen", time.Second)
	held := mustTake(t, frozen, message(1), Admitted)
	two, _ := process(t, b, "two")
	mustTake(t, two, message(1), Admitted)
	frozen.leave(t.Context(), held, markReturned, remembered)
	select {
	case subject := <-lost:
		if subject != held.subject {
			t.Errorf("lost %s, want %s", subject, held.subject)
		}
	default:
		t.Fatal("nobody was told")
	}
	three, _ := process(t, b, "three")
	mustTake(t, three, message(1), Busy)
}

// It is told also when the other one has finished meanwhile.
func TestClaimLostAndReleased(t *testing.T) {
	t.Parallel()
	b, _ := testStreams(t)
	frozen, lost := claimsOf(b, "frozen", time.Second)
	held := mustTake(t, frozen, message(1), Admitted)
	two, _ := process(t, b, "two")
	two.leave(t.Context(), mustTake(t, two, message(1), Admitted), markReturned, remembered)
	frozen.leave(t.Context(), held, markReturned, remembered)
	select {
	case <-lost:
	default:
		t.Fatal("nobody was told")
	}
}

// A mark that NATS did not take is left later.
func TestPendingMarks(t *testing.T) {
	t.Parallel()
	b, n := testStreams(t)
	one, _ := process(t, b, "one")
	two, _ := process(t, b, "two")
	held := mustTake(t, one, message(1), Admitted)
	n.Stop()
	one.leave(t.Context(), held, markReturned, remembered)
	n.Start()
	untilTaken(t, two, message(1))
}

// Of many that take at once, one gets the claim. The later messages go for it, the
// earlier ones come again.
func TestClaimRace(t *testing.T) {
	t.Parallel()
	b, _ := testStreams(t)
	states, all := make([]State, 51), sync.WaitGroup{} // by message
	for n := range uint64(50) {
		c, _ := process(t, b, fmt.Sprint(n))
		all.Go(func() {
			_, state, err := c.obtain(context.WithoutCancel(t.Context()), claimCallback, claimID, message(n+1))
			if states[n+1] = state; err != nil {
				states[n+1] = -1
			}
		})
	}
	all.Wait()
	taken := slices.Index(states[1:], Admitted) + 1
	for n, got := range states[1:] {
		if want := (map[int]State{-1: Busy, 0: Admitted, 1: Duplicate})[cmp.Compare(n+1, taken)]; got != want {
			t.Errorf("message %d: state %d, want %d; message %d was admitted", n+1, got, want, taken)
		}
	}
}

// take ends with its context while NATS is away.
func TestClaimWithoutNATS(t *testing.T) {
	t.Parallel()
	b, n := testStreams(t)
	one, _ := process(t, b, "one")
	n.Stop()
	ctx, cancel := context.WithCancelCause(t.Context())
	go cancel(errTest)
	if _, _, err := one.obtain(ctx, claimCallback, claimID, message(1)); !errors.Is(err, errTest) {
		t.Errorf("got %v, want the context's cause", err)
	}
	n.Start()
}
