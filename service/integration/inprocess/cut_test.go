package inprocess_test

import (
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// cutBench is a bench with workers that reach NATS through a forwarder each.
type cutBench struct {
	*bench
	forwarders []*servicetest.Forwarder
	asked      []string  // ids of the requests
	since      time.Time // the cut began
}

const slotsCut = 10 // of a worker

// startCut starts two workers, each behind a forwarder of its own. The first has
// all its slots in use, with calls that are held; the second has free slots.
func startCut(t *testing.T, changes ...func(*config.Config)) (b *cutBench, release func()) {
	t.Helper()
	b = &cutBench{bench: setup(t, append([]func(*config.Config){func(c *config.Config) { c.Concurrency = slotsCut }}, changes...)...)}
	b.provision()
	direct := b.config.NATS.URL
	release = b.openrouter.Hold()
	t.Cleanup(release)
	for worker := range 2 {
		f := servicetest.RunForwarder(t, strings.TrimPrefix(direct, "nats://"))
		b.forwarders = append(b.forwarders, f)
		b.config.NATS.URL = "nats://" + f.Address
		b.start()
		for i := range slotsCut / (worker + 1) {
			b.asked = append(b.asked, b.Ask(fmt.Sprintf("question %d for worker %d", i, worker), nil))
		}
		b.under(len(b.asked))
	}
	b.config.NATS.URL = direct
	return b, release
}

// each does something with the network of the workers.
func (b *cutBench) each(do func(*servicetest.Forwarder)) {
	b.since = time.Now()
	for _, f := range b.forwarders {
		do(f)
	}
}

// under waits until so many calls are under way, which are held.
func (b *bench) under(calls int) {
	b.t.Helper()
	if err := b.openrouter.Wait(b.Context(), func(s simulator.Stats) bool { return s.InFlight == calls }); err != nil {
		b.t.Fatal(err)
	}
}

// outlasted waits until no heartbeat is left and the ack wait is over.
func (b *cutBench) outlasted() {
	b.t.Helper()
	b.Until("the cut outlasts heartbeats and ack waits", func() (string, bool) {
		s, err := b.JS.Stream(b.Context(), b.Names.ClaimsStream())
		if err != nil {
			return err.Error(), false
		}
		info, err := s.Info(b.Context(), jetstream.WithSubjectFilter(b.Names.Instance("*")))
		if err != nil {
			return err.Error(), false
		}
		return fmt.Sprint(info.State.Subjects), len(info.State.Subjects) == 0 && time.Since(b.since) > b.config.AckWait+time.Second
	})
}

// delivered waits until the request queue has made so many deliveries, or a call
// was made for one of them.
func (b *cutBench) delivered(n uint64) {
	b.t.Helper()
	b.Until(fmt.Sprintf("%d deliveries", n), func() (string, bool) {
		c, err := b.JS.Consumer(b.Context(), b.Names.RequestsStream(), bus.Durable)
		if err != nil {
			return err.Error(), false
		}
		got := c.CachedInfo().Delivered.Consumer
		return fmt.Sprint(got), got >= n || b.openrouter.Count() > len(b.asked)
	})
}

// finished checks that each request has one result, and how many calls were made.
func (b *cutBench) finished(calls int) {
	b.t.Helper()
	b.Collect(b.Names.ResponsesStream(), "", len(b.asked))
	b.Idle()
	if n := b.openrouter.Count(); n != calls {
		b.t.Errorf("calls: got %d, want %d", n, calls)
	}
	if n := len(b.Results()); n != len(b.asked) {
		b.t.Errorf("results: got %d, want %d", n, len(b.asked))
	}
}

// Two workers are cut off a NATS that lives, for longer than their heartbeats and
// ack waits last, and come back: neither takes the other for dead, and every
// call goes on (promise 4).
func TestTwoWorkersCutOff(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*servicetest.Forwarder){
		"connections are lost": (*servicetest.Forwarder).Cut,
		"packets are lost":     (*servicetest.Forwarder).Freeze, // and no connection
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, release := startCut(t)
			b.each(fault)
			b.outlasted()
			b.forwarders[1].Heal() // it has free slots; the other's reconnect takes a moment longer
			b.delivered(uint64(len(b.asked) + slotsCut))
			b.forwarders[0].Heal()
			b.Until("both are connected again", func() (string, bool) { return b.replicas[0].get("/readyz") })
			release()
			b.finished(len(b.asked))
		})
	}
}

// A worker alone is cut off: the other one takes its requests over when its lease
// ends. What it answers afterwards adds no second result.
func TestOneWorkerCutOff(t *testing.T) {
	t.Parallel()
	b, release := startCut(t)
	b.forwarders[0].Cut()
	taken := len(b.asked) + slotsCut/2 // the other's free slots
	b.under(taken)
	release()
	b.Collect(b.Names.ResponsesStream(), "", len(b.asked))
	b.forwarders[0].Heal()
	b.finished(len(b.asked) + slotsCut)
	b.Until("the late answers are refused", func() (string, bool) {
		text, _ := b.replicas[0].get("/metrics")
		return "", strings.Contains(text, fmt.Sprintf("gemini_results_refused_total %d\n", slotsCut))
	})
}

// A worker that is started while NATS is away comes back with those whose
// heartbeats have expired meanwhile.
func TestWorkerStartedWhileNATSIsAway(t *testing.T) {
	t.Parallel()
	b, release := startCut(t)
	b.each((*servicetest.Forwarder).Cut)
	b.outlasted()
	b.nats.Stop()
	third := b.startUnready()
	b.Until("the third waits for NATS", func() (string, bool) { return "", strings.Contains(b.log.String(), "NATS is not reachable yet") })
	b.nats.Start()
	third.waitReady()
	b.delivered(uint64(len(b.asked) + slotsCut))
	b.each((*servicetest.Forwarder).Heal) // their reconnects take a moment longer
	b.Until("all are connected again", func() (string, bool) { return b.replicas[0].get("/readyz") })
	release()
	b.finished(len(b.asked))
}

// A cancellation that comes while the worker is cut off ends its call once the
// worker is back.
func TestCancelledWhileCutOff(t *testing.T) {
	t.Parallel()
	for name, fault := range map[string]func(*servicetest.Forwarder){
		"connections are lost": (*servicetest.Forwarder).Cut,
		"packets are lost":     (*servicetest.Forwarder).Freeze,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b, release := startCut(t)
			b.each(fault)
			b.cancel(b.asked[0])
			b.each((*servicetest.Forwarder).Heal)
			if got := b.Result(b.asked[0]); !isCancelled(got.Result) { // its call is still held
				t.Errorf("result: %s", got.Body)
			}
			release()
			b.finished(len(b.asked))
		})
	}
}

// A cancellation that the worker never hears ends a request before its next attempt:
// here the worker may not listen to them.
func TestUnheardCancellationBeforeTheNextAttempt(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t, func(o *server.Options) {
		deaf := &server.Permissions{Subscribe: &server.SubjectPermission{Deny: []string{"gemini.cancels.*"}}}
		o.Users = []*server.User{{Username: "all", Password: "all"}, {Username: "deaf", Password: "deaf", Permissions: deaf}}
	})
	n.As = []nats.Option{nats.UserInfo("all", "all")}
	b := setupOn(t, n, servicetest.RunOpenRouter(t, simulator.Config{}), func(c *config.Config) { c.User, c.Password = "deaf", "deaf" })
	release := b.openrouter.Hold()
	defer release()
	b.start()
	id := b.Ask("again and again [sim:503 times=2]", nil)
	if err := b.openrouter.Wait(b.Context(), func(s simulator.Stats) bool { return s.Started == 1 }); err != nil {
		t.Fatal(err)
	}
	b.cancel(id)
	release()
	if got := b.Result(id); !isCancelled(got.Result) {
		t.Errorf("result: %s", got.Body)
	}
	if n := b.openrouter.Count(); n != 1 {
		t.Errorf("calls: got %d, want 1", n)
	}
}

// A worker whose request was taken over while it was cut off makes no further
// attempt for it: the other one does.
func TestTakenOverBeforeTheNextAttempt(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	direct := b.config.NATS.URL
	f := servicetest.RunForwarder(t, strings.TrimPrefix(direct, "nats://"))
	release := b.openrouter.Hold()
	defer release()
	b.config.NATS.URL = "nats://" + f.Address
	b.start()
	id := b.Ask("again and again [sim:503 times=2]", nil)
	b.under(1)
	b.config.NATS.URL = direct
	b.start()
	f.Cut()
	b.under(2)
	f.Heal()
	b.Until("the first is connected again", func() (string, bool) { return b.replicas[0].get("/readyz") })
	release()
	b.Result(id)
	b.Idle()
	if n := b.openrouter.Count(); n != 3 {
		t.Errorf("calls: got %d, want one of the first worker and two of the second", n)
	}
	if n := len(b.Results()); n != 1 {
		t.Errorf("results: got %d, want 1", n)
	}
}
