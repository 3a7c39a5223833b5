package bus

import (
	"strings"
	"sync"
	"testing"

	"github.com/google/uuid"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
	"gemini-client/service/tenant"
)

// In the ordinary case nothing is asked for a request, whether it was cancelled or
// not. What is cancelled while this process is cut off is news when it is back.
func TestNothingIsAskedAboutARequest(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t)
	between := servicetest.RunForwarder(t, strings.TrimPrefix(n.URL, "nats://"))
	b := setupOn(t, n, func(c *config.Config) { c.NATS.URL = "nats://" + between.Address })
	bus := b.open()
	cancel := func(id string) {
		if _, err := b.JS.Publish(t.Context(), b.Names.Cancel(id), nil); err != nil {
			t.Fatal(err)
		}
	}
	cancel(cancelID(0))
	news, resumed := make(chan string, 10), make(chan struct{}, 10)
	b.run(bus, Handlers{Cancelled: func(_, id string) { news <- id }, Resumed: func() { resumed <- struct{}{} }})
	current := func() {
		t.Helper()
		b.Until("the set is current", func() (string, bool) {
			_, known := bus.cancels.known(uuid.MustParse(servicetest.NewID()), false)
			return "", known
		})
	}
	current()
	asked := b.listen(t, "$JS.API.STREAM.MSG.GET."+b.Names.CancelsStream())
	wants := func(cancelled ...bool) {
		t.Helper()
		for i, want := range cancelled {
			if got, err := bus.IsCancelled(t.Context(), "", cancelID(i)); got != want || err != nil {
				t.Errorf("id %d: cancelled %v, %v; want %v", i, got, err, want)
			}
		}
		if n := len(asked); n != 0 {
			t.Errorf("questions: %d", n)
		}
	}
	wants(true, false, false)
	cancel(cancelID(1))
	if id := <-news; id != cancelID(1) {
		t.Errorf("cancelled: %s", id)
	}
	wants(true, true, false)
	between.Cut()
	b.Until("nothing is known", func() (string, bool) {
		_, known := bus.cancels.known(uuid.MustParse(servicetest.NewID()), false)
		return "", !known
	})
	cancel(cancelID(2))
	between.Heal()
	<-resumed
	if id := <-news; id != cancelID(2) {
		t.Errorf("cancelled: %s", id)
	}
	current()
	for len(asked) > 0 { // of what was missed
		<-asked
	}
	wants(true, true, true, false)
}

// A request that was cancelled before it was published is not called for, whichever of
// two workers takes it, and whatever the case of its id. It is cancelled on another
// connection. Of requests that nobody cancelled NATS is asked nothing.
func TestCancelledBeforePublished(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for range 2 {
		bus := b.open()
		b.run(bus, Handlers{})
		b.Until("the set is current", func() (string, bool) {
			_, known := bus.cancels.known(uuid.MustParse(servicetest.NewID()), false)
			return "", known
		})
	}
	asked := b.listen(t, "$JS.API.STREAM.MSG.GET."+b.Names.CancelsStream())
	for range 20 {
		b.Result(b.Ask("hello", nil))
	}
	if n := len(asked); n != 0 {
		t.Errorf("questions about requests that nobody cancelled: %d", n)
	}
	const each, backends = 50, 4
	ids := make(chan string, each*backends)
	var publishing sync.WaitGroup
	for range backends {
		canceller := b.nats.JetStream()
		publishing.Go(func() {
			for i := range each {
				id := servicetest.NewID()
				ids <- id
				if _, err := canceller.Publish(t.Context(), b.Names.Cancel(id), nil); err != nil {
					t.Error(err)
				}
				if i%2 == 0 {
					id = strings.ToUpper(id)
				}
				b.Publish(servicetest.Body(id, "hello", nil), nil)
			}
		})
	}
	publishing.Wait()
	close(ids)
	for id := range ids {
		if got := b.Result(id).Result; got.ErrorCode == nil || *got.ErrorCode != events.Cancelled {
			t.Errorf("%s: %+v", id, got)
		}
	}
}

// With the accounts of deploy/nats whoever may cancel is heard: an admin and a backend.
// The rights of a worker suffice for it.
func TestCancellationsOfOtherAccounts(t *testing.T) {
	t.Parallel()
	n := servicetest.RunStackNATS(t)
	b := setupOn(t, n, func(c *config.Config) {
		c.User, c.Password, c.InboxPrefix, c.APIPrefix = "worker", "worker", "_INBOX_worker", "gemini.js"
	})
	c := newCancels(b.streams(), tenant.NewRegistry())
	heard := make(chan string, 10)
	stop, err := c.follow(t.Context(), func(_, id string) { heard <- id })
	if err != nil {
		t.Fatal(err)
	}
	b.Until("the set is current", func() (string, bool) {
		_, known := c.known(uuid.MustParse(cancelID(99)), false)
		return b.log.String(), known
	})
	for i, user := range []string{"admin", "backend"} {
		if _, err := n.Connect(servicetest.User(user)...).Request(b.Names.Cancel(cancelID(i)), nil, servicetest.Patience); err != nil {
			t.Fatalf("%s: %v", user, err)
		}
		if id := <-heard; id != cancelID(i) {
			t.Errorf("%s: heard %s", user, id)
		}
	}
	stop()
	if err := c.verify(t.Context(), func(_, id string) { t.Errorf("%s was not heard", id) }); err != nil || b.log.String() != "" {
		t.Errorf("%v; the log says: %s", err, b.log)
	}
}
