package upstream

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net/url"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go"
	"github.com/failsafe-go/failsafe-go/circuitbreaker"

	"gemini-client/events"
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
	breaker  circuitbreaker.CircuitBreaker[answer]
	openings atomic.Int32 // of the breaker, in a row
	models   *models
	heard    atomic.Int64 // when OpenRouter last gave a sign of life, in ns of Unix time
	policies failsafe.Executor[answer]

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
	endpoint, err := c.Endpoint()
	if err != nil {
		return nil, fmt.Errorf("%w: %w", config.ErrInvalid, err)
	}
	transport, err := openrouter.NewTransport(c.HTTPProxy, c.NoProxy)
	if err != nil {
		return nil, fmt.Errorf("%w: HTTP_PROXY: %w", config.ErrInvalid, err)
	}
	client, err := openrouter.New(openrouter.Config{
		BaseURL: endpoint, Referer: c.SiteURL, Title: c.SiteName, Transport: tel.Transport(openrouter.Quiet(transport)),
		FirstToken: c.FirstTokenTimeout, Gap: c.TokenGapTimeout,
	})
	if err != nil {
		return nil, fmt.Errorf("%w: %w", config.ErrInvalid, err)
	}
	return newCaller(c, endpoint, client, tel), nil
}

func newCaller(c config.Config, endpoint *url.URL, client *openrouter.Client, tel *telemetry.Telemetry) *Caller {
	u := &Caller{
		config: c.OpenRouter, model: c.DefaultModel(), endpoint: endpoint, waitMax: c.RetryWaitMax,
		client: client, keys: newKeys(c.OpenRouter), seats: make(chan struct{}, max(1, c.Concurrency/modelWaiters)), tel: tel,
		models: newModels(tel), pinging: make(chan struct{}, 1),
	}
	u.breaker = u.newBreaker()
	u.policies = u.compose()
	tel.Instruments.ObserveBreaker(u.breakerState)
	tel.Instruments.ObserveModels(u.models.states)
	tel.Instruments.ObserveKeys(u.keys.states)
	return u
}

// Run checks the default model against OpenRouter's catalogue and takes up
// changes of OPENROUTER_API_KEYS_FILE. It returns when ctx has ended.
func (u *Caller) Run(ctx context.Context) {
	var checking sync.WaitGroup
	checking.Go(func() { u.checkModel(ctx) })
	defer checking.Wait()
	if u.config.APIKeysFile != "" {
		u.keys.follow(ctx, u.config, u.tel.Logger)
	}
	<-ctx.Done()
}

// Close closes the connections that no call uses.
func (u *Caller) Close() { u.client.CloseIdleConnections() }

// Reply is what became of a request: an answer or an error, and what it took.
type Reply struct {
	Answer   *Answer
	Err      *Error // nil beside an answer
	Attempts int    // calls that were really made
	TimedOut bool   // an answer did not come in time in one of them
	Usage    Usage  // the sum of what all calls were billed; all else is of the last one
}

// Answer is a finished answer of a model.
type Answer struct {
	Model        string // that answered: it may differ from what was asked for
	Content      string
	Reasoning    string
	Refusal      string          // the model's words of refusal, where a provider separates them
	ToolCalls    json.RawMessage // OpenAI's list; nil if there are none
	FinishReason string          // stop, length, tool_calls, content_filter
}

// Answer gets an answer for a request, with all the attempts that the policies
// allow, until the request's deadline or ctx ends it. piece gets the answer's
// pieces in order, on the caller's goroutine; a new attempt begins the answer
// again. An answer that came is returned even if ctx ended meanwhile: it is paid
// for. ctx ends with ErrCancelled or ErrStopping as its cause.
func (u *Caller) Answer(ctx context.Context, request events.Request, piece func(attempt int, text string)) Reply {
	if !request.Deadline.IsZero() {
		var cancel context.CancelFunc
		ctx, cancel = context.WithDeadlineCause(ctx, request.Deadline, ErrDeadline)
		defer cancel()
	}
	chat := chatRequest(request, u.config.FallbackModels)
	ctx, span := u.tel.StartChat(ctx, u.chatInfo(request, chat))
	defer span.End(telemetry.ChatResult{ErrorType: string(events.Internal)}) // of a panic: the first End counts
	c := &call{caller: u, request: chat, piece: piece, start: time.Now(), suspect: timedOutBefore(ctx)}
	u.answering.Add(1)
	defer u.answering.Add(-1)
	c.wait(true)
	defer c.wait(false)
	re := u.do(ctx, c)
	if re.Err != nil {
		re.Err.Message = withoutEcho(re.Err.Message, request)
	}
	span.End(chatResult(c, re))
	return re
}

type timedOutKey struct{}

// WithTimedOut tells [Caller.Answer] that the request's answer did not come in time
// before: another time says nothing new about the model.
func WithTimedOut(ctx context.Context) context.Context {
	return context.WithValue(ctx, timedOutKey{}, true)
}

func timedOutBefore(ctx context.Context) bool { return ctx.Value(timedOutKey{}) != nil }

// do runs the call under the policies.
func (u *Caller) do(ctx context.Context, c *call) Reply {
	_, err := u.policies.WithContext(withCall(ctx, c)).GetWithExecution(func(e failsafe.Execution[answer]) (answer, error) {
		return u.attempt(e.Context(), c)
	})
	re := Reply{Attempts: c.attempts, TimedOut: c.timeouts > 0}
	if a := c.answer; a != nil {
		re.Answer = &Answer{Model: a.Model, Content: a.Content, Reasoning: a.Reasoning, Refusal: a.Refusal, ToolCalls: a.ToolCalls, FinishReason: a.FinishReason}
		re.Usage = answerUsage(a)
		re.Usage.Bill = c.billed
		return re
	}
	if cause := context.Cause(ctx); cause != nil { // it counts, whatever the last attempt made of it
		err = errors.Join(cause, context.Canceled)
	}
	re.Err = classify(err)
	if c.last != nil {
		re.Usage = c.last.usage
	}
	re.Usage.Bill = c.billed
	return re
}
