// Package clienttest is for the tests of backends: the whole service in the test's
// process, with a NATS server and an OpenRouter simulator. It needs no key, no Docker and
// no network.
//
//	c, err := client.New(clienttest.Start(t))
package clienttest

import (
	"context"
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/service"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
	"gemini-client/telemetry"
)

type options struct {
	config    []func(*config.Config)
	simulator simulator.Config
}

// Option changes what [Start] runs.
type Option func(*options)

// WithAnswer has a function write the answers. Without it each answer is some sentences about
// its prompt. A prompt may ask for a fault: "[sim:503 times=2]", see the simulator's README.
func WithAnswer(answer func(prompt string) string) Option {
	return func(o *options) {
		o.simulator.Answer = func(p simulator.Prompt) string { return answer(p.Text) }
	}
}

// WithConfig changes the service's settings: the defaults, with retries that come at once.
func WithConfig(change func(*config.Config)) Option {
	return func(o *options) { o.config = append(o.config, change) }
}

// Start runs the service and returns a backend's connection to its NATS server. Both end with
// the test. Where the service does not start, the test fails; if it fails, the service's log is
// in its output.
func Start(tb testing.TB, opts ...Option) *nats.Conn {
	tb.Helper()
	var o options
	for _, set := range opts {
		set(&o)
	}
	server, router := servicetest.RunNATS(tb), servicetest.RunOpenRouter(tb, o.simulator)
	c, _, err := config.Load("", "")
	if err != nil {
		tb.Fatalf("the service's settings: %v", err)
	}
	c.APIKeys, c.BaseURL, c.NATS.URL, c.HTTPAddr, c.RetryDelays = config.List{servicetest.Key}, router.URL, server.URL, "", []int{1}
	c.NATS.Context, c.InboxPrefix, c.APIPrefix = "", "_INBOX", "$JS.API" // whatever context the developer works in
	c.ShutdownTimeout = 100 * time.Millisecond                           // a test may end while it calls
	for _, change := range o.config {
		change(&c)
	}
	run(tb, c)
	return server.Connect()
}

// run runs the service until the test ends.
func run(tb testing.TB, c config.Config) {
	tb.Helper()
	log := &servicetest.Buffer{}
	tel, err := telemetry.Setup(tb.Context(), telemetry.Config{LogLevel: c.LogLevel, LogFormat: c.LogFormat, Output: log})
	if err != nil {
		tb.Fatalf("telemetry: %v", err)
	}
	s, err := service.New(c, "clienttest", tel)
	if err != nil {
		tb.Fatalf("the service: %v", err)
	}
	ctx, stop := context.WithCancel(context.Background())
	ended := make(chan error, 1)
	go func() { ended <- s.Run(ctx) }()
	tb.Cleanup(func() {
		stop()
		if err := <-ended; err != nil && !errors.Is(err, service.ErrCut) {
			tb.Errorf("the service: %v", err)
		}
		if err := tel.Shutdown(context.Background()); err != nil {
			tb.Errorf("telemetry: %v", err)
		}
		if tb.Failed() {
			tb.Logf("the service's log:\n%s", log)
		}
	})
}
