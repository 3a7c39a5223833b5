package telemetry

import (
	"log/slog"
	"regexp"
	"sync"
	"time"

	"github.com/go-logr/logr"
	"go.opentelemetry.io/otel"
)

const errorInterval = 30 * time.Second

// nothingLost matches a partial success of OTLP that refused nothing: by the
// protocol a warning (OTLP specification, "Partial Success").
var nothingLost = regexp.MustCompile(`partial success: .*\(0 [a-z ]+ rejected\)`)

// errorHandler logs what goes wrong inside OpenTelemetry, at most one line per
// errorInterval: a collector that is down fails with every batch.
type errorHandler struct {
	log *slog.Logger

	mu         sync.Mutex
	last       time.Time
	suppressed int
}

// Handle implements otel.ErrorHandler.
func (h *errorHandler) Handle(err error) {
	suppressed, ok := h.admit(time.Now())
	if !ok {
		return
	}
	what := "telemetry was lost"
	if nothingLost.MatchString(err.Error()) {
		what = "the collector accepted the telemetry with a warning"
	}
	h.log.Warn(what, "error", shorten(err.Error()), "suppressed", suppressed)
}

// admit reports whether a line may be written now, and how many were not since
// the last one.
func (h *errorHandler) admit(now time.Time) (int, bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	if !h.last.IsZero() && now.Sub(h.last) < errorInterval {
		h.suppressed++
		return 0, false
	}
	suppressed := h.suppressed
	h.last, h.suppressed = now, 0
	return suppressed, true
}

// reportTo makes OpenTelemetry, which knows only one place for its own errors
// in a process, report them to log.
func reportTo(log *slog.Logger) {
	otel.SetErrorHandler(&errorHandler{log: log})
	otel.SetLogger(logr.FromSlogHandler(log.Handler()))
}
