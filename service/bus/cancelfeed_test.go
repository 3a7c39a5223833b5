package bus

import (
	"bytes"
	"fmt"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
	"gemini-client/service/tenant"
)

// Nothing is known on another connection, nor after messages were dropped, nor so long
// after the last look that something may have been missed.
func TestWhatMayHaveBeenMissed(t *testing.T) {
	t.Parallel()
	s := newCancelSet(10)
	on := feed{connection: 1, dropped: 2}
	current := func(on feed) bool {
		_, _, current := s.look(uuid.New(), on)
		return current
	}
	s.verify(time.Now(), on)
	if !current(on) || current(feed{connection: 2, dropped: 2}) || current(feed{connection: 1, dropped: 3}) {
		t.Error("want it current on that connection, as long as nothing is dropped")
	}
	s.verify(time.Now().Add(-cancelsFresh), on)
	if current(on) {
		t.Error("want it current until it is no more fresh")
	}
}

// What overflows while all is read is not kept, and not taken for all.
func TestOverflowWhileAllIsRead(t *testing.T) {
	t.Parallel()
	s := newCancelSet(2)
	s.drop()
	if !s.keep() {
		t.Error("want it to say that it kept nothing")
	}
	s.hear(uuid.MustParse(cancelID(0)))
	if _, there, _ := s.look(uuid.MustParse(cancelID(0)), feed{}); !there {
		t.Error("what comes while all is read is lost")
	}
	s.hear(uuid.MustParse(cancelID(1)))
	s.hear(uuid.MustParse(cancelID(2)))
	if _, room := s.replace(events.DefaultNames(), nil, feed{}); room {
		t.Error("want no room")
	}
	s.verify(time.Now(), feed{})
	if _, _, current := s.look(uuid.New(), feed{}); current {
		t.Error("want it not current")
	}
}

// Only the stream's own server keeps cancellations before the requests that are
// published after them, and not if it is one of a cluster, nor if nobody leads.
func TestOnlyOneServerKeepsTheOrder(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.APIPrefix = "bridge" })
	var cluster atomic.Value
	cluster.Store(`"cluster":{"leader":""}`)
	b.bridge("bridge", func(_ string, answer []byte) []byte {
		return bytes.Replace(answer, []byte(`"cluster":{"leader":"test"}`), []byte(cluster.Load().(string)), 1)
	})
	c := newCancels(b.streams(), tenant.NewRegistry())
	(&watched{cancels: c, t: t}).feedFrom("nobody")
	if err := c.verify(t.Context(), nil); err == nil {
		t.Error("sure of a record without a leader")
	}
	for _, other := range []string{`"cluster":{"leader":"other"}`, `"cluster":{"name":"C","leader":"test"}`, `"cluster":null`, `"cluster":{"leader":"test"}`} {
		cluster.Store(other)
		if err := c.verify(t.Context(), nil); err != nil {
			t.Error(err)
		}
		if _, known := c.known(uuid.MustParse(cancelID(0)), false); known != strings.HasSuffix(other, `{"leader":"test"}`) {
			t.Errorf("%s: known %v", other, known)
		}
	}
}

// A cancellation that the stream has and that was not heard, though nothing was cut, is
// missing for a moment, or for ever: nothing is known until it is heard, or until
// another connection.
func TestCancellationsThatAreNotHeard(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	known := func(want bool) {
		t.Helper()
		if _, known := w.known(uuid.MustParse(cancelID(9999)), false); known != want {
			t.Errorf("known: %v", known)
		}
	}
	w.look(0)
	known(true)
	w.cancel(0, 1)
	w.verifies(1)
	known(false)
	w.verifies(0)
	known(false)
	w.set.hear(uuid.MustParse(cancelID(0)))
	known(true)
	w.cancel(1, 3+walkMost)
	w.verifies(2 + walkMost)
	known(false)
	w.look(0)
	known(true)
}

// Who may not listen to cancellations asks about each request.
func TestCancellationsThatMayNotBeHeard(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t, func(o *server.Options) {
		deaf := &server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"gemini.cancels.*"}}}
		o.Users = []*server.User{{Username: "all", Password: "all"}, {Username: "deaf", Password: "deaf", Permissions: deaf}}
	})
	n.As = []nats.Option{nats.UserInfo("all", "all")}
	b := setupOn(t, n, func(c *config.Config) { c.User, c.Password = "deaf", "deaf" })
	bus := b.open()
	b.run(bus, Handlers{})
	b.Until("the set was made sure of", func() (string, bool) {
		_, _, current := bus.cancels.set.look(uuid.New(), feed{})
		return b.log.String(), current && strings.Contains(b.log.String(), "NATS refuses what the service needs")
	})
	if _, known := bus.cancels.known(uuid.MustParse(cancelID(0)), false); known {
		t.Error("known")
	}
	for i := range 2 {
		if got, err := bus.IsCancelled(t.Context(), "", cancelID(i)); got || err != nil {
			t.Errorf("id %d: %v, %v", i, got, err)
		}
	}
	if _, err := b.JS.Publish(t.Context(), b.Names.Cancel(cancelID(1)), nil); err != nil {
		t.Fatal(err)
	}
	if got, err := bus.IsCancelled(t.Context(), "", cancelID(1)); !got || err != nil {
		t.Errorf("cancelled: %v, %v", got, err)
	}
}

// A cancellation that has come and waits behind others is not missed, and neither is
// one that there was no room for.
func TestCancellationsThatWait(t *testing.T) {
	t.Parallel()
	b := setup(t)
	c := newCancels(b.streams(), tenant.NewRegistry())
	held, release := make(chan string), make(chan struct{})
	stop, err := c.follow(t.Context(), func(_, id string) {
		if id == cancelID(0) {
			held <- id
			<-release
		}
	})
	if err != nil {
		t.Fatal(err)
	}
	defer stop()
	current := func() (string, bool) {
		_, known := c.known(uuid.MustParse(cancelID(99)), false)
		return "", known
	}
	b.Until("the set is current", current)
	if err := c.live.Load().SetPendingLimits(3, -1); err != nil {
		t.Fatal(err)
	}
	cancel := func(n int) {
		if _, err := b.JS.Publish(t.Context(), b.Names.Cancel(cancelID(n)), nil); err != nil {
			t.Fatal(err)
		}
	}
	cancel(0)
	<-held
	for i, dropped := range []int{0, 0, 1} {
		cancel(1 + i)
		b.Until("it has come", func() (string, bool) {
			waiting, _, _ := c.live.Load().Pending()
			lost, _ := c.live.Load().Dropped()
			return fmt.Sprint(waiting, lost), waiting == min(3, 2+i) && lost == dropped
		})
	}
	for i := range 5 {
		if got, err := c.has(t.Context(), cancellation{id: cancelID(i)}); got != (i < 4) || err != nil {
			t.Errorf("id %d: %v, %v", i, got, err)
		}
	}
	close(release)
	b.Until("what waited is taken up", func() (string, bool) {
		cancelled, known := c.known(uuid.MustParse(cancelID(1)), false)
		return "", cancelled && known
	})
	if got, err := c.has(t.Context(), cancellation{id: cancelID(3)}); !got || err != nil {
		t.Errorf("what was dropped: %v, %v", got, err)
	}
	b.Until("the set is current again", current)
}
