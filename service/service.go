package service

import (
	"context"
	"fmt"
	"net/http"
	"sync"

	"gemini-client/events"
	"gemini-client/service/batch"
	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/upstream"
	"gemini-client/telemetry"
)

// Service answers requests from one NATS server (or cluster) through
// OpenRouter. New makes it, Run runs it.
type Service struct {
	config   config.Config
	version  string
	tel      *telemetry.Telemetry
	upstream *upstream.Caller
	health   *health
}

// New checks the configuration and prepares the way to OpenRouter; it opens no
// connection and starts nothing. version is the one that its status
// reports. Errors are config.ErrInvalid.
func New(c config.Config, version string, tel *telemetry.Telemetry) (*Service, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("%w:\n%w", config.ErrInvalid, err)
	}
	caller, err := upstream.New(c, tel)
	if err != nil {
		return nil, err
	}
	return &Service{config: c, version: version, tel: tel, upstream: caller, health: newHealth(caller)}, nil
}

// Handler serves /healthz, /readyz and /metrics.
func (s *Service) Handler() http.Handler { return s.health.handler(s.tel.MetricsHandler()) }

// Run answers requests until ctx ends and then lets calls in flight finish. It
// waits for NATS as long as ctx lasts. It returns nil when nothing was cut,
// ErrCut, bus.ErrTopology, bus.ErrClosed or config.ErrInvalid.
func (s *Service) Run(ctx context.Context) error {
	defer s.upstream.Close()
	b, err := bus.Open(ctx, s.config, s.tel)
	if err != nil {
		return unlessStopped(ctx, err)
	}
	defer b.Close()
	s.upstream.Share(upstream.Sharing{Counter: limitCounters{b}, Offset: b.Offset, Names: s.config.Names(), Tenants: b.Tenants()})
	s.upstream.Budget(NewLedger(s.config, b, b.Tenants(), s.tel.Logger))
	declare(ctx, s.tel.Instruments, s.config.DefaultModel(), s.config.Fallbacks())
	s.tel.Instruments.SetSlots(ctx, s.config.Concurrency)
	s.announce(ctx, b)
	s.health.running(b)
	defer s.health.stopping()
	h := s.newHandler(b, b.MaxRequest(), b.MaxBody())
	h.longestWait = b.LongestWait()
	h.batch = &batching{
		bus: b, on: s.config.BatchMaxWait > 0, budgeted: s.upstream.Budgeted, longest: b.LongestWait(), ticks: make(chan struct{}, ticksAtOnce(s.config.Concurrency)),
		runner: batch.New(b, s.upstream, batchItems{h}, s.config.BatchMaxWait, s.tel),
	}
	return s.serve(ctx, b, h)
}

// unlessStopped returns nil where ctx has ended: the stop was asked for.
func unlessStopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// newHandler returns the handler of a bus that takes requests and bodies of these sizes.
// REQUEST_MAX_BYTES bounds both.
func (s *Service) newHandler(b openBus, maxRequest, maxBody int) *handler {
	if limit := int(s.config.RequestMaxBytes); limit > 0 {
		maxRequest, maxBody = limit, min(limit, maxBody)
	}
	rules := s.config.Rules(maxRequest)
	rules.MaxBody = maxBody
	tenants := b.Tenants()
	rules.Isolated = func(name string) bool { return tenants.Of(name).Isolated }
	return &handler{
		rules: rules, decode: events.Rules.Decode, tenants: tenants, queue: s.config.Queue, maxCrashLoops: s.config.MaxStrikes,
		bus: b, upstream: s.upstream, inFlight: newInFlight(), tel: s.tel,
	}
}

// announce is the one line that says what this process does.
func (s *Service) announce(ctx context.Context, b *bus.Bus) {
	c, n := s.config, s.config.Names()
	s.tel.Logger.InfoContext(ctx, "answering requests",
		"openrouter", c.BaseURL, "model", c.DefaultModel(), "keys", len(c.APIKeys), "proxy", c.HTTPProxy != "",
		"nats", b.Server(), "requests", n.RequestsStream(), "results", n.ResponsesStream(), "slots", c.Concurrency, "memory_budget", config.Size(c.Budget()).String())
}

// serve runs until ctx ends: intake first, then the calls, then what is left.
func (s *Service) serve(ctx context.Context, b openBus, h *handler) error {
	work, endWork := context.WithCancelCause(context.WithoutCancel(ctx))
	defer endWork(nil)
	intake, endIntake := context.WithCancel(ctx)
	waiting := newCancelledWaiting(h)
	var beside sync.WaitGroup
	defer beside.Wait()
	defer endIntake()
	beside.Go(func() { s.upstream.Run(intake) })
	beside.Go(func() { waiting.run(intake) })
	if h.batch != nil {
		beside.Go(func() { h.batch.revive(intake, s.tel.Logger) })
	}
	r := running{
		bus: b, inFlight: h.inFlight, logger: s.tel.Logger, timeout: s.config.ShutdownTimeout,
		done: make(chan struct{}), endWork: endWork,
	}
	var failed error
	beside.Go(func() {
		defer close(r.done)
		failed = b.Run(intake, work, bus.Handlers{
			Deliver: h.deliver, Cancelled: waiting.add, Resumed: waiting.resumed, Pause: s.upstream.Pause, Limit: s.upstream.Limit,
			MayTake: s.mayTake, Deadline: h.deadlineOf, Ended: s.upstream.EndBudget, Status: s.statusOf(b), Version: s.version,
		})
	})
	var closed error
	select {
	case <-ctx.Done():
	case <-b.Closed():
		closed = bus.ErrClosed
	case <-r.done:
		return unlessStopped(ctx, failed)
	}
	endIntake()
	s.health.stopping()
	if err := r.drain(ctx); err != nil && closed == nil {
		return err
	}
	return closed
}
