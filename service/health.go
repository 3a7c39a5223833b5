package service

import (
	"encoding/json"
	"fmt"
	"net/http"
	"sync"

	"github.com/nats-io/nats.go"

	"gemini-client/service/upstream"
)

// Health answers the questions of an orchestrator. Ready means that the queue
// is bound and NATS is connected; trouble at OpenRouter is not a reason to
// restart or to unroute a worker, so it only shows in the verbose answer.
type Health struct {
	mu       sync.Mutex
	nc       *nats.Conn
	consumer *consumer
	upstream *upstream.Caller
	ending   bool
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

func (h *Health) watch(nc *nats.Conn, c *consumer, u *upstream.Caller) {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.nc, h.consumer, h.upstream, h.ending = nc, c, u, false
}

func (h *Health) stopping() {
	h.mu.Lock()
	defer h.mu.Unlock()
	h.ending = true
}

// status looks at everything at once.
func (h *Health) status() Status {
	h.mu.Lock()
	defer h.mu.Unlock()
	if h.consumer == nil {
		return Status{Why: "starting: NATS or JetStream is not there yet", Intake: "not yet"}
	}
	s := Status{Ready: true, Intake: "open", InFlight: h.consumer.busy(), Slots: cap(h.consumer.slots), Status: h.upstream.Status()}
	switch {
	case h.ending:
		s.Ready, s.Why = false, "stopping"
	case !h.nc.IsConnected():
		s.Ready, s.Why = false, "NATS is not connected"
	case h.consumer.unreadable() != "":
		s.Ready, s.Why = false, "the queue in stream "+h.consumer.unreadable()+" cannot be read: is its consumer there? (gemini-client provision --missing)"
	}
	if _, why := h.upstream.Pause(); why != "" && s.Ready {
		s.Intake = why
	}
	if !s.Ready {
		s.Intake = s.Why
	}
	return s
}

func (h *Health) handler(metrics http.Handler) http.Handler {
	mux := http.NewServeMux()
	mux.HandleFunc("GET /healthz", func(w http.ResponseWriter, _ *http.Request) {
		_, _ = fmt.Fprintln(w, "ok")
	})
	mux.HandleFunc("GET /readyz", func(w http.ResponseWriter, r *http.Request) {
		s := h.status()
		code := http.StatusOK
		if !s.Ready {
			code = http.StatusServiceUnavailable
		}
		if r.URL.Query().Has("verbose") {
			w.Header().Set("Content-Type", "application/json")
			w.WriteHeader(code)
			_ = json.NewEncoder(w).Encode(s)
			return
		}
		w.WriteHeader(code)
		if s.Ready {
			_, _ = fmt.Fprintln(w, "ok")
		} else {
			_, _ = fmt.Fprintln(w, s.Why)
		}
	})
	mux.Handle("GET /metrics", metrics)
	return mux
}
