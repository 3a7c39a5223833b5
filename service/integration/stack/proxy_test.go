//go:build integration

package stack

import (
	"fmt"
	"strings"
	"testing"

	"github.com/testcontainers/testcontainers-go"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"
	"github.com/testcontainers/testcontainers-go/wait"

	"gemini-client/events"
	"gemini-client/service/servicetest"
)

// proxyConfig makes sing-box a proxy that speaks HTTP and SOCKS5 on one port.
// At this level it logs where each connection goes to.
const proxyConfig = `{
  "log": {"level": "info"},
  "inbounds": [{"type": "mixed", "listen": "0.0.0.0", "listen_port": 1080}],
  "outbounds": [{"type": "direct"}]
}`

// walled is two networks: inside, which has no way out, with the service, and
// world, with OpenRouter. NATS and Jaeger are in both, for the test to reach them,
// and so is a proxy.
type walled struct {
	stage         *stage
	inside, world *testcontainers.DockerNetwork
	backend       *servicetest.Backend
	jaeger        *jaeger
	proxy         *box
	simulator     *box
}

func (s *stage) walled() *walled {
	s.t.Helper()
	w := &walled{stage: s, inside: s.network(tcnetwork.WithInternal()), world: s.network()}
	both := func(name string) testcontainers.CustomizeRequestOption {
		return func(r *testcontainers.GenericContainerRequest) error {
			if err := on(w.world, name)(r); err != nil {
				return err
			}
			return on(w.inside, name)(r)
		}
	}
	w.backend = s.backend(s.nats("nats", fmt.Sprintf(single, "nats"), both("nats")).url)
	w.jaeger = s.jaeger(both("jaeger"))
	w.simulator = s.run("openrouter", simulatorImage(), on(w.world, "openrouter"), testcontainers.WithWaitStrategy(wait.ForLog("listening on").WithStartupTimeout(patience)))
	w.proxy = s.run("proxy", image(proxyImage), both("proxy"),
		file("/etc/sing-box/config.json", proxyConfig), testcontainers.WithCmd("run", "--config", "/etc/sing-box/config.json"),
		testcontainers.WithWaitStrategy(wait.ForLog("sing-box started").WithStartupTimeout(patience)))
	return w
}

// worker starts the service inside the wall.
func (w *walled) worker(env settings) *worker {
	w.stage.t.Helper()
	return w.stage.worker("worker", settings{
		"OPENROUTER_BASE_URL":         upstreamAt("openrouter"),
		"OTEL_EXPORTER_OTLP_ENDPOINT": "http://jaeger:4318", "OTEL_BSP_SCHEDULE_DELAY": "200",
	}.and(env), on(w.inside, "worker"))
}

// upstreamAt is the URL of the simulator's container.
func upstreamAt(host string) string { return "http://" + host + ":8099/api/v1" }

// Behind a wall the calls go through HTTP_PROXY, and nothing else does.
func TestCallsAloneGoThroughTheProxy(t *testing.T) {
	t.Parallel()
	for name, proxy := range map[string]string{"http": "http://proxy:1080", "socks5": "socks5://proxy:1080"} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newStage(t).walled()
			service := w.worker(settings{"HTTP_PROXY": proxy}) // the proxy alone can resolve the upstream's name
			id := servicetest.NewID()
			trace := w.jaeger.publish(w.backend, id, "Through the wall?")
			if r := w.backend.Result(id); r.Result.Content == nil {
				t.Fatalf("result on %s: %s", r.Subject, r.Body)
			}
			w.jaeger.trace(trace.TraceID().String(), func(all []span) bool { return len(all) >= 6 }) // spans arrive by themselves
			service.leave()
			w.passed("openrouter:8099")
		})
	}
}

// Without the proxy there is no way out: the wall is one.
func TestWithoutTheProxyNoCallGetsOut(t *testing.T) {
	t.Parallel()
	w := newStage(t).walled()
	address, err := w.simulator.ContainerIP(t.Context())
	w.stage.must("address of the upstream", err)
	service := w.worker(settings{ // not even by its address, and without waiting for it long
		"OPENROUTER_BASE_URL": upstreamAt(address), "FIRST_TOKEN_TIMEOUT": "1s", "QUEUE_MAX_RETRIES": "0",
	})
	r := w.backend.Result(w.backend.Ask("Through the wall?", nil))
	if code := r.Result.ErrorCode; code == nil || *code != events.UpstreamUnavailable && *code != events.UpstreamTimeout {
		t.Errorf("result on %s: %s, want %s or %s", r.Subject, r.Body, events.UpstreamUnavailable, events.UpstreamTimeout)
	}
	if log := w.simulator.log(); strings.Contains(log, "msg=call") {
		t.Errorf("a call has reached the upstream: %s", log)
	}
	service.leave()
	w.passed()
}

// passed checks the destinations of all connections that the proxy has made.
func (w *walled) passed(want ...string) {
	w.stage.t.Helper()
	seen := map[string]bool{}
	for line := range strings.Lines(w.proxy.log()) {
		if _, destination, outbound := strings.Cut(line, "outbound connection to "); outbound {
			seen[strings.TrimSpace(destination)] = true
		}
	}
	for _, destination := range want {
		if !seen[destination] {
			w.stage.t.Errorf("the proxy has made no connection to %s: %v", destination, seen)
		}
		delete(seen, destination)
	}
	if len(seen) > 0 {
		w.stage.t.Errorf("the proxy has made connections to %v, want none but %v", seen, want)
	}
}
