package service

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/nats-io/nuid"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/upstream"
	"gemini-client/telemetry"
)

// storeGrace is how long, after calls have been cut off, results in hand and
// messages to give back may still reach NATS.
const storeGrace = 3 * time.Second

// ErrCut is returned by Run when SHUTDOWN_TIMEOUT cut calls off: their messages
// went back to the queue, but the calls may have been paid for.
var ErrCut = errors.New("calls were cut off: SHUTDOWN_TIMEOUT was over before they had finished")

// Service answers requests from one NATS server (or cluster) through
// OpenRouter. New makes it, Run runs it.
type Service struct {
	// Version is what the program says of itself when its status is asked for.
	Version string

	config   *config.Config
	tel      *telemetry.Telemetry
	upstream *upstream.Caller
	nc       *nats.Conn
	health   Health
}

// New checks the configuration and prepares the HTTP client; it opens no
// connection and starts nothing. Errors are config.ErrInvalid.
func New(c *config.Config, tel *telemetry.Telemetry) (*Service, error) {
	if err := c.Check(); err != nil {
		return nil, fmt.Errorf("%w:\n%w", config.ErrInvalid, err)
	}
	caller, err := upstream.New(*c, tel)
	if err != nil {
		return nil, err
	}
	return &Service{config: c, tel: tel, upstream: caller}, nil
}

// Handler serves /healthz, /readyz and /metrics.
func (s *Service) Handler() http.Handler { return s.health.handler(s.tel.MetricsHandler()) }

// Run answers requests until ctx ends and then lets calls under way finish.
// It waits for NATS as long as ctx lasts. It returns nil when nothing was cut,
// ErrCut, ErrTopology, config.ErrInvalid or ErrClosed.
func (s *Service) Run(ctx context.Context) error {
	nc, err := Connect(ctx, s.config.NATS, s.tel.Logger)
	if err != nil {
		return stopped(ctx, err)
	}
	defer nc.Close()
	s.nc = nc
	js, err := JetStream(nc, s.config.NATS)
	if err != nil {
		return err
	}
	topology := NewTopology(s.config, nc.MaxPayload())
	if err := topology.await(ctx, js, s.config.Provision, s.tel.Logger); err != nil {
		return stopped(ctx, err)
	}
	w, err := s.assemble(ctx, js, topology)
	if err != nil {
		return stopped(ctx, err)
	}
	s.announce(ctx)
	s.health.watch(nc, w.consumer, s.upstream)
	defer s.health.stopping()
	stop, err := s.answerStatus(ctx, w.handler.claims.lives.name)
	if err != nil {
		return err
	}
	defer stop()
	return s.serve(ctx, w)
}

// stopped makes an end by request a good end.
func stopped(ctx context.Context, err error) error {
	if ctx.Err() == nil {
		return err
	}
	return nil
}

// worker is the parts that work together on messages.
type worker struct {
	consumer *consumer
	handler  *handler
	waiting  *waitingCancels
	gauges   *gauges
}

// assemble ties the steps together, in the order of the flow.
func (s *Service) assemble(ctx context.Context, js jetstream.JetStream, topology Topology) (*worker, error) {
	c, names, log := s.config, s.config.Names(), s.tel.Logger
	b, err := newBroker(ctx, s.nc, js, c.API, names, log)
	if err != nil {
		return nil, err
	}
	queues, ackWait, err := s.bind(ctx, js, topology)
	if err != nil {
		return nil, err
	}
	work := newAtWork()
	h := &handler{
		config: c, rules: c.Rules(maxRequest(c, s.nc.MaxPayload())), atWork: work, tel: s.tel,
		claims: &claims{broker: b, lives: newInstances(b, nuid.Next(), ackWait), lost: func(subject string) {
			s.tel.Instruments.ClaimLost(ctx)
			log.WarnContext(ctx, "another worker took over a request that was still at work here; the first result counts", "claim", subject)
		}},
		results: &publisher{b}, schedules: &schedules{b}, letters: &deadletters{b},
		cancels:  &cancels{broker: b, notify: func(id string) { work.cancel(id, upstream.ErrCancelled) }},
		upstream: s.upstream,
		live:     &live{nc: s.nc, names: names, log: log},
	}
	waiting := newWaitingCancels(h)
	h.cancels.live = waiting.heard
	return &worker{handler: h, waiting: waiting, gauges: s.observe(ctx), consumer: newConsumer(c.Concurrency, queues, h.accept, s.upstream.Pause, s.nc, s.tel)}, nil
}

// observe ties the metrics to what they show, so that each is there from the
// first scrape on. The queues' gauges begin when they run.
func (s *Service) observe(ctx context.Context) *gauges {
	g := newGauges(s.nc, s.config.API, s.config.Names(), s.tel.Logger)
	s.nc.SetErrorHandler(g.listen(s.nc.ErrorHandler()))
	s.tel.SetBroker(s.nc.ConnectedUrlRedacted)
	i := s.tel.Instruments
	i.SetSlots(ctx, s.config.Concurrency)
	i.ObserveQueues(func() telemetry.QueueNumbers { return g.numbers(time.Now()) })
	s.declare(ctx)
	return g
}

// declare makes what is counted by code begin with 0.
func (s *Service) declare(ctx context.Context) {
	i, model := s.tel.Instruments, s.config.Rules(0).DefaultModel
	i.DeclareModels(append(slices.Clone(s.config.FallbackModels), model)...)
	for _, code := range []events.Code{events.InvalidRequest, events.CallbackNotAllowed, events.PayloadTooLarge} {
		i.DeclareFailures(ctx, "", string(code)) // of a request that could not be read
	}
	for _, code := range events.Codes() {
		i.DeclareFailures(ctx, model, string(code))
		if code.Deadletter() || code == events.InvalidRequest { // the latter without a usable id
			i.DeclareDeadLetters(ctx, string(code))
		}
		if passes(code) {
			i.DeclareReasons(ctx, string(code))
		}
	}
}

// maxRequest is the largest body that is accepted.
func maxRequest(c *config.Config, maxPayload int64) int {
	if c.RequestMaxBytes > 0 {
		return int(c.RequestMaxBytes)
	}
	return int(maxPayload - payloadReserve)
}

// bind finds the consumers, the retries first, and the shortest AckWait in
// force: heartbeats and claims follow the server's word, not the configuration.
func (s *Service) bind(ctx context.Context, js jetstream.JetStream, topology Topology) ([]*queue, time.Duration, error) {
	var queues []*queue
	shortest := time.Duration(0)
	for i, want := range slices.Backward(topology.Consumers) {
		q := &queue{stream: want.Stream, subject: want.Config.FilterSubject}
		q.next = s.config.API("CONSUMER.MSG.NEXT." + want.Stream + "." + want.Config.Durable)
		q.bind = func(ctx context.Context) (jetstream.Consumer, error) {
			if _, err := ensureConsumer(ctx, js, want, s.config.Provision); err != nil {
				return nil, err
			}
			return js.Consumer(ctx, want.Stream, want.Config.Durable)
		}
		found, err := q.bind(ctx)
		if err != nil {
			return nil, 0, err
		}
		q.ackIn = found.CachedInfo().Config.AckWait
		if i == 0 {
			q.wait = idlePull
		}
		if shortest == 0 || q.ackIn < shortest {
			shortest = q.ackIn
		}
		queues = append(queues, q)
	}
	return queues, shortest, nil
}

// announce is the one line that says what this process does.
func (s *Service) announce(ctx context.Context) {
	c, n := s.config, s.config.Names()
	s.tel.Logger.InfoContext(ctx, "answering requests",
		"openrouter", c.BaseURL, "model", c.Rules(0).DefaultModel, "keys", len(c.APIKeys), "proxy", c.HTTPProxy != "",
		"nats", s.nc.ConnectedUrlRedacted(), "requests", n.RequestsStream(), "results", n.ResponsesStream(), "slots", c.Concurrency)
}

// serve runs until ctx ends: intake first, then the calls, then what is left.
func (s *Service) serve(ctx context.Context, w *worker) error {
	work, endWork := context.WithCancelCause(context.WithoutCancel(ctx))
	defer endWork(nil)
	stop, err := w.handler.cancels.follow(ctx)
	if err != nil {
		return stopped(ctx, err)
	}
	defer stop()
	lives := w.handler.claims.lives
	if err := lives.announce(ctx); err != nil {
		return stopped(ctx, err)
	}
	defer lives.keep(work)()
	intake, endIntake := context.WithCancelCause(ctx)
	defer endIntake(nil)
	s.nc.SetClosedHandler(func(*nats.Conn) { endIntake(ErrClosed) })
	var beside sync.WaitGroup
	beside.Go(func() { s.upstream.Run(intake) })
	beside.Go(func() { w.waiting.run(intake) })
	beside.Go(func() { w.gauges.run(intake) })
	defer beside.Wait()
	done := make(chan struct{})
	go func() {
		defer close(done)
		w.consumer.run(intake, work)
	}()
	<-intake.Done()
	s.health.stopping()
	err = s.drain(ctx, w, done, endWork)
	if cause := context.Cause(intake); errors.Is(cause, ErrClosed) {
		return ErrClosed
	}
	return err
}

// drain waits for what is under way, up to SHUTDOWN_TIMEOUT, and then cuts it.
func (s *Service) drain(ctx context.Context, w *worker, done <-chan struct{}, endWork context.CancelCauseFunc) error {
	if n := w.consumer.busy(); n > 0 {
		s.tel.Logger.InfoContext(ctx, "stopping: no more requests are taken, calls under way may finish", "requests", n, "for_at_most", s.config.ShutdownTimeout)
	}
	limit := time.NewTimer(s.config.ShutdownTimeout)
	defer limit.Stop()
	select {
	case <-done:
		return nil
	case <-limit.C:
	}
	cut := w.consumer.busy()
	w.handler.atWork.interrupt(upstream.ErrStopping)
	grace := time.AfterFunc(storeGrace, func() { endWork(upstream.ErrStopping) })
	defer grace.Stop()
	<-done
	if cut == 0 {
		return nil
	}
	s.tel.Logger.WarnContext(ctx, "calls were cut off and their requests given back", "requests", cut)
	return ErrCut
}
