package upstream

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/http"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go"

	"gemini-client/events"
	"gemini-client/service/budget"
	"gemini-client/service/config"
	"gemini-client/service/openrouter"
	"gemini-client/telemetry"
)

// Caller answers requests through OpenRouter. It is safe for concurrent use. New
// makes it, Run looks after it, Close ends it.
type Caller struct {
	config   config.OpenRouter
	model    string // the default
	endpoint *url.URL
	waitMax  time.Duration
	client   *openrouter.Client
	keys     *keys
	seats    chan struct{} // a place for each new call that may wait for its model
	shared   *shared       // limits that hold for all workers; nil: there are none
	breaker  *breaker      // of OpenRouter as a whole
	retry    failsafe.Executor[answer]
	models   *models
	adapted  said // adaptions of requests to models
	listed   *catalogue
	prices   *prices
	money    *budget.Ledger // nil: nothing is reserved
	retired  *retired
	left     *left        // nil without CANCEL_WAITS
	heard    atomic.Int64 // when OpenRouter last gave a sign of life, in ns of Unix time

	tel *telemetry.Telemetry

	answering atomic.Int64 // calls of Answer
	waiting   atomic.Int64 // of these, those that want to probe OpenRouter or a key, or do

	pinging      chan struct{} // holds a token while somebody asks OpenRouter whether it is there
	pinged       time.Time     // when it was last asked; belongs to the holder of the token, as the next
	pingAnswered bool
}

// New returns a caller. It opens no connection and starts nothing. Errors are
// config.ErrInvalid.
func New(c config.Config, tel *telemetry.Telemetry) (*Caller, error) {
	if err := c.RequireKeys(); err != nil {
		return nil, err
	}
	client, endpoint, err := newClient(c, tel.Transport)
	if err != nil {
		return nil, err
	}
	return newCaller(c, endpoint, client, tel), nil
}

// newClient returns OpenRouter's client and its base URL. instrument, if it is not
// nil, wraps the transport. Errors are config.ErrInvalid.
func newClient(c config.Config, instrument func(http.RoundTripper) http.RoundTripper) (*openrouter.Client, *url.URL, error) {
	endpoint, err := c.Endpoint()
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", config.ErrInvalid, err)
	}
	direct, err := openrouter.NewTransport(c.HTTPProxy, c.NoProxy)
	if err != nil {
		return nil, nil, fmt.Errorf("%w: HTTP_PROXY: %w", config.ErrInvalid, err)
	}
	transport := openrouter.Quiet(direct)
	if instrument != nil {
		transport = instrument(transport)
	}
	client, err := openrouter.New(openrouter.Config{
		BaseURL: endpoint, Referer: c.SiteURL, Title: c.SiteName, Transport: transport,
		FirstToken: c.FirstTokenTimeout, Gap: c.TokenGapTimeout, Call: c.CallTimeout,
	})
	if err != nil {
		return nil, nil, fmt.Errorf("%w: %w", config.ErrInvalid, err)
	}
	return client, endpoint, nil
}

func newCaller(c config.Config, endpoint *url.URL, client *openrouter.Client, tel *telemetry.Telemetry) *Caller {
	u := &Caller{
		config: c.OpenRouter, model: c.DefaultModel(), endpoint: endpoint, waitMax: c.RetryWaitMax,
		client: client, keys: newKeys(c.OpenRouter), seats: make(chan struct{}, max(1, c.Concurrency/modelWaiters)), tel: tel,
		models: newModels(tel), retired: newRetired(tel), pinging: make(chan struct{}, 1),
		listed: newCatalogue(client, tel, append([]string{c.Model}, c.Fallbacks()...)...),
	}
	u.prices = newPrices(client)
	if c.CancelWaits {
		u.left = newLeft(c.Concurrency)
	}
	u.breaker = newBreaker(unhealthy, u.breakerChanged)
	u.retry = u.newRetry()
	tel.Instruments.ObserveBreaker(u.breakerState)
	tel.Instruments.ObserveModels(u.models.states)
	tel.Instruments.ObserveKeys(u.keys.states)
	tel.Instruments.ObserveExpiries(u.listed.times)
	tel.Instruments.ObserveKeyCredit(u.keys.remaining)
	u.listed.priced = u.keys.setPrice
	return u
}

// Run reads OpenRouter's catalogue every day, asks about the keys now and then, and
// takes up changes of OPENROUTER_API_KEYS_FILE. It returns when ctx has ended.
func (u *Caller) Run(ctx context.Context) {
	var beside sync.WaitGroup
	defer beside.Wait()
	beside.Go(func() { u.watchKeys(ctx) })
	if u.config.APIKeysFile != "" {
		beside.Go(func() { u.keys.follow(ctx, u.config, u.tel.Logger) })
	}
	looks := 0
	u.listed.follow(ctx, func() string { // with each key in turn: one may be refused
		all := u.keys.secrets()
		looks++
		return all[(looks-1)%len(all)]
	})
}

// Close ends the calls of cancelled requests that are let to finish, and closes the
// connections. All calls of Answer have ended before.
func (u *Caller) Close() {
	u.left.close()
	u.prices.close()
	u.shared.close()
	u.client.CloseIdleConnections()
}

// Reply is what became of a request: an answer or an error, and what it took.
type Reply struct {
	Answer   *Answer
	Err      *Error // nil beside an answer
	Attempts int    // calls that were really made
	TimedOut bool   // an answer did not come in time in one of them
	Usage    Usage  // the sum of what all calls were billed; all else is of the last one

	StillCosts string // what the call costs that a cancellation cut off, as a clause for people on call; "" if nothing more
}

// Answer is a finished answer of a model.
type Answer struct {
	Model        string // that answered, as OpenRouter names it
	Requested    string // the model that was asked for, if another one answered; else empty
	Content      string
	Reasoning    string
	Refusal      string          // the model's words of refusal, where a provider separates them
	ToolCalls    json.RawMessage // OpenAI's list; nil if there are none
	FinishReason string          // stop, length, tool_calls, content_filter
}

// Answer gets an answer for a request, with all the attempts that the policies
// allow, until the request's deadline or ctx ends it. piece gets the answer's
// pieces in order, and only while Answer runs; a new attempt begins the answer
// again. An answer that came is returned even if ctx ended meanwhile: it is paid
// for. ctx ends with ErrCancelled or ErrStopping as its cause. The request must not be
// changed meanwhile.
func (u *Caller) Answer(ctx context.Context, request *events.Request, piece func(attempt int, text string)) *Reply {
	if !request.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, request.Deadline, ErrDeadline)
		defer cancel()
	}
	c := &call{caller: u, event: request, piece: piece, start: time.Now()}
	ctx = c.prepare(ctx)
	defer c.finish()
	u.answering.Add(1)
	defer u.answering.Add(-1)
	c.wait(true)
	defer c.wait(false)
	defer c.arrive()
	u.do(ctx, c)
	c.describe(ctx)
	return &c.reply
}

// prepare makes OpenRouter's request of the event, and begins the call's span.
func (c *call) prepare(ctx context.Context) context.Context {
	u := c.caller
	c.request = u.saving(c.event, chatRequest(c.event, u.config.FallbacksOf(c.event.NamesModel)))
	ctx, c.span = u.tel.StartChat(ctx, u.chatInfo(c.event, c.request))
	c.suspect, c.fallsBack = timedOutBefore(ctx), c.event.ServiceTierFallback
	c.request = u.withTrace(ctx, c.request)
	c.body = c.bodyHash()
	c.queue, _ = ctx.Value(queueKey{}).(*Queue)
	_, c.ownList = c.event.OpenRouter["models"]
	return ctx
}

// describe takes the request's words out of what is said of a failure, and counts an
// answer of another model than the one that was asked.
func (c *call) describe(ctx context.Context) {
	if e := c.reply.Err; e != nil {
		e.Message = withoutEcho(e.Message, c.event)
	}
	if a := c.reply.Answer; a != nil && a.Requested != "" {
		c.caller.tel.Instruments.Substituted(ctx, a.Requested, cmp.Or(a.Model, c.request.Model))
	}
}

type timedOutKey struct{}

// WithTimedOut tells [Caller.Answer] that the request's answer did not come in time
// before: another time says nothing new about the model.
func WithTimedOut(ctx context.Context) context.Context {
	return context.WithValue(ctx, timedOutKey{}, true)
}

func timedOutBefore(ctx context.Context) bool { return ctx.Value(timedOutKey{}) != nil }

// conclude says what became of the call.
func (c *call) conclude(ctx context.Context, err error) {
	re := &c.reply
	re.Attempts, re.TimedOut = c.attempts, c.timeouts > 0
	if a := c.answer; a != nil {
		re.Answer = &Answer{Model: a.Model, Requested: c.substituted(), Content: a.Content, Reasoning: a.Reasoning, Refusal: a.Refusal, ToolCalls: a.ToolCalls, FinishReason: a.FinishReason}
		re.Usage = answerUsage(a)
		re.Usage.Bill = c.billed
		return
	}
	if cause := context.Cause(ctx); cause != nil { // it counts, whatever the last attempt made of it
		err = errors.Join(cause, context.Canceled)
	}
	re.Err = classify(err)
	if c.last != nil {
		re.Usage = c.last.usage
		if c.last.kind == kindCancelled {
			re.StillCosts = c.cutOff()
		}
	}
	re.Usage.Bill = c.billed
}
