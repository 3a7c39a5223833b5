//go:build integration

package stack

import (
	"fmt"
	"testing"
	"time"

	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// observedStack is NATS, a worker and Prometheus, which finds the worker by its
// name on the network as in Compose.
type observedStack struct {
	nats       *natsServer
	backend    *servicetest.Backend
	upstream   *upstream
	worker     *worker
	prometheus *prometheus
}

func (s *stage) observedStack(env settings) observedStack {
	s.t.Helper()
	net := s.network()
	n := s.nats("nats", fmt.Sprintf(single, "nats"), on(net, "nats"))
	up := s.upstream(simulator.Config{})
	limit := 50.0
	up.SetKey(servicetest.Key+"-gemini-client", simulator.KeySettings{Limit: &limit}) // the worker asks for it when it starts
	w := s.worker("gemini-client", up.serving(10, 30*time.Second).and(env), on(net, "gemini-client"))
	o := observedStack{n, s.backend(n.url), up, w, s.prometheus(on(net, "prometheus"))}
	s.until("the worker is scraped and has read the queues", func() (string, bool) {
		seen, err := o.prometheus.query("gemini_slots and on () gemini_queue_messages")
		return fmt.Sprint(seen, err), len(seen) > 0
	})
	for _, alert := range []string{"GeminiNoWorker", "GeminiNATSAway"} {
		o.prometheus.becomes(alert, false)
	}
	if firing := o.prometheus.firing(); len(firing) > 0 {
		s.t.Fatalf("nothing is wrong, and these fire: %v", firing)
	}
	return o
}

// Somebody is woken when it matters, and not any longer when it is over. The
// times are those of a test in which a minute of the rules is a second.
func TestAlertsFire(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		alert         string
		fault, remedy func(observedStack)
	}{
		"NATS is away": {
			"GeminiNATSAway",
			func(o observedStack) { o.nats.kill() },
			func(o observedStack) { o.nats.start() },
		},
		"every key is refused": {
			"GeminiNothingIsTaken",
			func(o observedStack) {
				refused, err := simulator.ParseFault("401")
				o.nats.stage.must("fault", err)
				o.upstream.SetFault(refused)
				for range 3 {
					o.backend.Ask("Why is the sky blue?", nil)
				}
			},
			func(o observedStack) { o.upstream.ClearFaults() },
		},
		"a dead letter": {
			"GeminiDeadLetters",
			func(o observedStack) { o.backend.Publish([]byte("no request"), nil) },
			func(o observedStack) {
				stream, err := o.backend.JS.Stream(o.backend.Context(), o.backend.Names.DeadlettersStream())
				o.nats.stage.must("dead letters", err)
				o.nats.stage.must("purge", stream.Purge(o.backend.Context()))
			},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			o := newStage(t).observedStack(nil)
			test.fault(o)
			fired := o.prometheus.becomes(test.alert, true)
			test.remedy(o)
			cleared := o.prometheus.becomes(test.alert, false)
			t.Logf("%s: fired after %s, cleared after %s", test.alert, fired, cleared)
			o.backend.Result(o.backend.Ask("Why is the sky blue now?", nil))
		})
	}
}
