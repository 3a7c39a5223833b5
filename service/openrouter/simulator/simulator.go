package simulator

import (
	"errors"
	"maps"
	"net/http"
	"sync"
	"time"
)

// Config says how the simulator behaves when no fault is asked for. Its zero value accepts every key that begins with
// sk-or- and answers as fast as it can.
type Config struct {
	// Latency is the time to the first token, TokenInterval the time between two chunks.
	Latency, TokenInterval time.Duration
	// ErrorRate is the fraction of calls, 0 to 1, that is answered with a 500, 502, 503, 504 or 529.
	ErrorRate float64
	// Seed decides which calls ErrorRate and a fault's share hit: the same seed and order of calls, the same calls.
	Seed uint64
	// Storm answers a part of every period with 429.
	Storm Storm
	// RateLimit is how many calls a minute the platform allows one key; 0 is any number.
	RateLimit int
	// Keys are accepted; if there are none, every key that begins with sk-or- is.
	Keys []string
	// ManagementKey may call /credits, and nothing else.
	ManagementKey string
	// UsageWithoutChoice sends the usage chunk in its older form, with an empty list of choices.
	UsageWithoutChoice bool
	// Expirations maps a model's id to the expiration_date its catalogue entry shows, such as 2026-10-16.
	Expirations map[string]string
	// GenerationDelay is how long after its end a generation is still unknown to /generation.
	GenerationDelay time.Duration
	// History is how many calls are remembered, for Calls, CountFor and /generation; 0 is all of them.
	History int
	// Answer makes the text of an answer. If it is nil, a few sentences are derived from the prompt. For an item of a batch it
	// must not ask the simulator about batches, which are locked meanwhile.
	Answer func(Prompt) string
	// Batch says how batches behave.
	Batch BatchConfig
	// OnCall is called with every chat call that has ended, on the call's own goroutine, before it stops counting as in flight.
	OnCall func(Call)
}

// Storm is a 429 for every call in the last For of each period of length Every, counted from New. Retry-After counts
// down to its end.
type Storm struct {
	Every, For time.Duration
}

// Prompt is the argument of Config.Answer.
type Prompt struct {
	// Text is the last user message without its markers.
	Text string
	// Model is the one that answers.
	Model string
	// MaxTokens is the limit the answer will be cut at; 0 is none.
	MaxTokens int
	// Body is the request as it came.
	Body []byte
}

// Simulator is an http.Handler that behaves like https://openrouter.ai. It starts no goroutine; a handler ends when its
// answer has been sent, its client has gone or Close has been called.
type Simulator struct {
	config  Config
	mux     *http.ServeMux
	kinds   map[string]kind
	ledger  ledger
	control control
	limiter limiter
	batches batchStore
	answers responseCache
	born    time.Time
	closing chan struct{}
	close   func()
}

// New returns a simulator that is ready to serve.
func New(config Config) *Simulator {
	s := &Simulator{
		config:  config,
		mux:     http.NewServeMux(),
		kinds:   make(map[string]kind),
		born:    time.Now(),
		closing: make(chan struct{}),
	}
	s.close = sync.OnceFunc(func() { close(s.closing) })
	s.ledger = newLedger(config)
	s.control.markerHits = make(map[uint64][]int)
	s.control.expirations = map[string]string{}
	maps.Copy(s.control.expirations, config.Expirations)
	s.answers.entries = make(map[string]remembered)
	s.limiter = limiter{limit: config.RateLimit, windows: make(map[string]*window)}
	for _, k := range catalogue() {
		s.kinds[k.name] = k
	}
	s.mux.HandleFunc("POST /api/v1/chat/completions", s.chat)
	s.mux.HandleFunc("GET /api/v1/key", s.key)
	s.mux.HandleFunc("GET /api/v1/auth/key", s.key)
	s.mux.HandleFunc("GET /api/v1/credits", s.credits)
	s.mux.HandleFunc("GET /api/v1/generation", s.generation)
	s.mux.HandleFunc("GET /api/v1/models", s.models)
	s.mux.HandleFunc("GET /api/v1/model/{author}/{slug}", s.model)
	s.batches.byID = make(map[string]*batch)
	s.batches.runsFor = make(map[string]int)
	s.mux.HandleFunc("POST /api/v1/batches", s.submitBatch)
	s.mux.HandleFunc("GET /api/v1/batches", s.listBatches)
	s.mux.HandleFunc("GET /api/v1/batches/{id}", s.getBatch)
	s.mux.HandleFunc("DELETE /api/v1/batches/{id}", s.deleteBatch)
	s.mux.HandleFunc("/", func(w http.ResponseWriter, _ *http.Request) {
		sendError(w, http.StatusNotFound, "Not Found")
	})
	return s
}

// ServeHTTP answers one request.
func (s *Simulator) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	w.Header().Set("Server", "cloudflare")
	s.mux.ServeHTTP(w, r)
}

// Close ends every call that is hanging, held or pacing, by cutting its connection. Call it before the Close of the
// server, which waits for them.
func (s *Simulator) Close() { s.close() }

// errGone and errClosing say why a wait ended early.
var (
	errGone    = errors.New("the client has gone")
	errClosing = errors.New("the simulator is closing")
)

// forever is a wait that only the client or Close can end.
const forever = time.Duration(-1)

// wait returns nil when d has passed, errGone when the request's client left before, errClosing after Close.
func (s *Simulator) wait(r *http.Request, d time.Duration) error {
	if d == forever {
		return await[time.Time](s, r, nil)
	}
	if d == 0 {
		return s.left(r)
	}
	timer := time.NewTimer(d)
	defer timer.Stop()
	return await(s, r, timer.C)
}

// left returns errGone or errClosing if the call need not be answered any more.
func (s *Simulator) left(r *http.Request) error {
	select {
	case <-r.Context().Done():
		return errGone
	case <-s.closing:
		return errClosing
	default:
		return nil
	}
}

// await waits for ready, for the client to leave or for Close, whichever is first.
func await[T any](s *Simulator, r *http.Request, ready <-chan T) error {
	if err := s.left(r); err != nil {
		return err
	}
	select {
	case <-ready:
		return nil
	case <-r.Context().Done():
		return errGone
	case <-s.closing:
		return errClosing
	}
}
