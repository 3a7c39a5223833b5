package bus

import (
	"errors"
	"fmt"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// allStored waits until a stream holds so many messages.
func (b *bench) allStored(stream string, messages int) {
	b.t.Helper()
	b.Until("all are stored", func() (string, bool) {
		n := b.State(stream).Msgs
		return fmt.Sprint(n), n == uint64(messages)
	})
}

// A batch whose acknowledgement is lost is stored. Whoever publishes again is told so
// as after a publish of one message: by a conflict, or as a duplicate.
func TestBatchesWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		end  func(x *mux)
		want error
	}{
		"by time": {func(x *mux) {
			x.tick()
			x.tick()
			x.tick()
			x.tick()
			x.tick()
			x.tick()
		}, ErrNoAnswer},
		"connection lost": {func(x *mux) { x.lost(nats.ErrDisconnected) }, nats.ErrDisconnected},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, storedTogether)
			s := b.streams()
			x := s.publisher.mux
			inbox := x.inbox
			x.inbox = "nobody.hears." // answers
			claims, told := make([]posted, groupLeast), make(chan error, groupLeast+1)
			for i := range claims {
				claims[i] = posted{m: b.claimOf(servicetest.NewID(), expectLast(0)), done: func(_ uint64, err error) { told <- err }}
			}
			all := append([]posted{}, claims...)
			s.publisher.post(claims...)
			s.publisher.publish(b.claimOf(servicetest.NewID(), expectLast(0)), func(_ uint64, err error) { told <- err }) // waits for the next round
			b.allStored(b.Names.ClaimsStream(), groupLeast)
			c.end(x)
			for range claims {
				if err := <-told; !errors.Is(err, c.want) {
					t.Errorf("got %v, want %v", err, c.want)
				}
			}
			x.inbox = inbox
			b.allStored(b.Names.ClaimsStream(), groupLeast+1)
			x.lost(nats.ErrDisconnected)
			<-told
			for _, w := range all {
				id := string(w.m.Data)
				if _, err := s.publisher.store(b.Context(), b.claimOf(id, expectLast(0))); !errors.Is(err, errConflict) {
					t.Errorf("again: got %v", err)
				}
			}
		})
	}
}

// Results in a batch whose acknowledgement is lost are stored once, and who published
// them is told so.
func TestResultsInBatchesWhoseAnswerIsLost(t *testing.T) {
	t.Parallel()
	b := setup(t, storedTogether)
	bus := b.open()
	x := bus.conn.mux
	var all sync.WaitGroup
	end := func(id string) {
		all.Go(func() {
			body := completed(id)
			if stored, err := bus.results.publish(b.Context(), b.Names.ResponseQueue, *body.Result, 0); err != nil || !stored {
				t.Errorf("%s: stored %v, %v", id, stored, err)
			}
		})
	}
	stream := b.Names.ResponsesStream()
	g := bus.results.streams.publisher.groups[1]
	g.mu.Lock() // nothing is sent before all wait
	g.open++
	g.mu.Unlock()
	const n = 4 * groupLeast
	for range n {
		end(servicetest.NewID())
	}
	b.Until("all wait", func() (string, bool) {
		g.mu.Lock()
		defer g.mu.Unlock()
		return fmt.Sprint(len(g.waiting)), len(g.waiting) == n
	})
	x.mu.Lock()
	inbox := x.inbox
	x.mu.Unlock()
	x.inbox = "nobody.hears."
	g.answered(1, nil)
	x.inbox = inbox
	b.allStored(stream, n)
	x.lost(nats.ErrDisconnected)
	all.Wait()
	if sizes, alone := b.batches(stream); len(sizes) != 1 || alone != 0 {
		t.Errorf("batches %v, and %d messages alone", sizes, alone)
	}
}

// With connections that go away all the time, requests are called for and answered once.
func TestGroupsCallOnce(t *testing.T) {
	t.Parallel()
	const requests, cuts = 600, 12
	b := setup(t, storedTogether)
	b.calledOnce(requests, 3, func(workers []*Bus, answers int) {
		if answers%(requests/cuts) != 0 {
			return
		}
		if err := workers[answers%len(workers)].conn.ForceReconnect(); err != nil {
			t.Errorf("cut: %v", err)
		}
	})
	if results := b.Results(); len(results) != requests {
		t.Errorf("%d results of %d requests", len(results), requests)
	}
	for _, stream := range []string{b.Names.ClaimsStream(), b.Names.ResponsesStream()} {
		if sizes, _ := b.batches(stream); len(sizes) == 0 {
			t.Errorf("nothing in %s was stored together", stream)
		}
	}
}

// A message that this user may not publish keeps no other from being stored.
func TestBatchesWithoutPermission(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "limited", Password: "x", Permissions: &server.Permissions{Publish: &server.SubjectPermission{Deny: []string{"gemini.responses.*.denied"}}}},
			{Username: "admin", Password: "a"},
		}
		o.NoAuthUser = "admin"
	})
	b := setupOn(t, n, storedTogether, func(c *config.Config) { c.User, c.Password = "limited", "x" })
	s := b.streams()
	for _, denied := range []int{0, groupLeast, 2*groupLeast - 1} {
		var results []*nats.Msg
		for range 2 * groupLeast {
			results = append(results, b.resultOf(servicetest.NewID()))
		}
		results[denied] = b.resultOf(servicetest.NewID())
		results[denied].Subject = "gemini.responses.completed.denied"
		for i, got := range b.round(s.publisher, results...) {
			if (i == denied) != errors.Is(got.err, ErrDenied) || (i == denied) == (got.sequence > 0) {
				t.Errorf("result %d, where %d is denied: got %+v", i, denied, got)
			}
		}
	}
}

// A stream that has too many open batches, or none any more, stores messages singly.
func TestStreamsThatRefuseBatches(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t, func(o *server.Options) {
		o.JetStreamLimits.MaxBatchInflightPerStream, o.JetStreamLimits.MaxBatchTimeout = 1, time.Minute // 50 and 10 s by default
	})
	b := setupOn(t, n, storedTogether)
	s := b.streams()
	stream := b.Names.ClaimsStream()
	publish := func(batches int) {
		t.Helper()
		var claims []*nats.Msg
		for range groupLeast {
			claims = append(claims, b.claimOf(servicetest.NewID(), expectLast(0)))
		}
		for i, got := range b.round(s.publisher, claims...) {
			if got.err != nil {
				t.Errorf("claim %d: %v", i, got.err)
			}
		}
		if sizes, _ := b.batches(stream); len(sizes) != batches {
			t.Errorf("batches %v, want %d", sizes, batches)
		}
	}
	open := b.claimOf(servicetest.NewID())
	inBatch(open, servicetest.NewID(), 1)
	if _, err := b.NC.RequestMsg(open, 5*time.Second); err != nil {
		t.Fatal(err)
	}
	publish(0)
	change(b, stream, func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = false })
	publish(0)
	change(b, stream, func(c *jetstream.StreamConfig) { c.AllowAtomicPublish = true })
	publish(0) // it is not tried again before it is known to be of use
	info, err := s.conn.stream(b.Context(), stream)
	if err != nil {
		t.Fatal(err)
	}
	s.noteCopies(info)
	publish(1)
}

// Claims and results are stored together through the accounts of deploy/nats, where
// streams are reached by imports.
func TestBatchesThroughAccounts(t *testing.T) {
	t.Parallel()
	n := servicetest.RunStackNATS(t)
	b := setupOn(t, n, storedTogether, func(c *config.Config) {
		c.User, c.Password, c.InboxPrefix, c.APIPrefix = "worker", "worker", "_INBOX_worker", "gemini.js"
	})
	s := b.streams()
	var claims, results []*nats.Msg
	for range groupMost {
		claims = append(claims, b.claimOf(servicetest.NewID(), expectLast(0), withTTL(time.Minute)))
		results = append(results, b.resultOf(servicetest.NewID()))
	}
	for _, messages := range [][]*nats.Msg{claims, results} {
		for i, got := range b.round(s.publisher, messages...) {
			if got.err != nil || got.sequence != uint64(i+1) {
				t.Fatalf("message %d: got %+v", i, got)
			}
		}
	}
	for _, stream := range []string{b.Names.ClaimsStream(), b.Names.ResponsesStream()} {
		if sizes, alone := b.batches(stream); len(sizes) != 1 || alone != 0 {
			t.Errorf("%s: batches %v, and %d messages alone", stream, sizes, alone)
		}
	}
}
