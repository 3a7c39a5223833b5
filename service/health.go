package service

import (
	"cmp"
	"encoding/json"
	"fmt"
	"net/http"
	"os"
	"sync"
	"time"

	"gemini-client/service/upstream"
)

// health serves the probes of an orchestrator. Ready means that the queue is
// bound and NATS is connected; trouble at OpenRouter is not a reason to restart
// or to unroute a worker, so it only shows in the verbose answer.
type health struct {
	upstream *upstream.Caller

	mu    sync.Mutex
	bus   openBus // nil until it is open
	ended bool
}

// Status is the body of /readyz?verbose.
type Status struct {
	Ready    bool   `json:"ready"`
	Why      string `json:"why"`    // not ready because; empty if it is
	Intake   string `json:"intake"` // "open", or why nothing is taken
	InFlight int    `json:"in_flight"`
	Slots    int    `json:"slots"`
	upstream.Status
}

// WorkerStatus is what a running worker replies to a request on Names.Status. It
// holds no key and nothing of any request.
type WorkerStatus struct {
	Instance string    `json:"instance"` // as in claims; new with every start
	Hostname string    `json:"hostname"`
	Version  string    `json:"version"`
	Since    time.Time `json:"since"`
	Status
}

func newHealth(u *upstream.Caller) *health { return &health{upstream: u} }

// running and stopping say what the service does from now on.
func (h *health) running(b openBus) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.bus = b
}

func (h *health) stopping() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ended = true
}

// status is a snapshot of all of it.
func (h *health) status() Status {
	h.mu.Lock()
	b, ended := h.bus, h.ended
	h.mu.Unlock()
	s := Status{Status: h.upstream.Status()}
	switch {
	case b == nil:
		s.Why, s.Intake = "starting: NATS or JetStream is not there yet", "not yet"
		return s
	case ended:
		s.Why = "stopping"
	default:
		s.Why = b.Unready()
	}
	s.InFlight, s.Slots = b.InFlight()
	s.Ready, s.Intake = s.Why == "", s.Why
	if _, why := h.upstream.Pause(); s.Ready {
		s.Intake = cmp.Or(b.Full(), why, "open")
	}
	return s
}

// statusOf returns what a worker replies to a request on the status subject.
func (s *Service) statusOf(b openBus) func() any {
	hostname, err := os.Hostname()
	if err != nil {
		hostname = "unknown"
	}
	us := WorkerStatus{Instance: b.Instance(), Hostname: hostname, Version: s.version, Since: time.Now().UTC()}
	return func() any {
		now := us
		now.Status = s.health.status()
		return now
	}
}

func (h *health) handler(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", h.readyz)
	mux.Handle("GET /metrics", metrics)
	return mux
}

func (h *health) readyz(w http.ResponseWriter, r *http.Request) {
	s := h.status()
	code, text := http.StatusOK, "ok"
	if !s.Ready {
		code, text = http.StatusServiceUnavailable, s.Why
	}
	if r.URL.Query().Has("verbose") {
		w.Header().Set("Content-Type", "application/json")
		w.WriteHeader(code)
		_ = json.NewEncoder(w).Encode(s)
		return
	}
	w.WriteHeader(code)
	_, _ = fmt.Fprintln(w, text)
}
