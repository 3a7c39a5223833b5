package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"log/slog"
	"os"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/trace"
)

// LevelCritical is above ERROR: the process cannot go on.
const LevelCritical = slog.LevelError + 4

const logTimeFormat = "2006-01-02T15:04:05.000Z"

// NewLogger returns a logger that writes to c.Output as c.LogLevel and
// c.LogFormat say. Its error names each variable that is wrong.
func NewLogger(c Config) (*slog.Logger, error) {
	level, levelErr := parseLevel(c.LogLevel)
	format, formatErr := parseFormat(c.LogFormat)
	if err := errors.Join(levelErr, formatErr); err != nil {
		return nil, err
	}
	output := c.Output
	if output == nil {
		output = os.Stdout
	}
	return slog.New(newLogHandler(output, level, format)), nil
}

func parseLevel(name string) (slog.Level, error) {
	switch strings.ToUpper(strings.TrimSpace(name)) {
	case "DEBUG":
		return slog.LevelDebug, nil
	case "", "INFO":
		return slog.LevelInfo, nil
	case "WARN", "WARNING":
		return slog.LevelWarn, nil
	case "ERROR":
		return slog.LevelError, nil
	case "CRITICAL":
		return LevelCritical, nil
	default:
		return 0, fmt.Errorf("LOG_LEVEL: unknown level %q, want DEBUG, INFO, WARNING, ERROR or CRITICAL", name)
	}
}

func parseFormat(name string) (string, error) {
	switch format := strings.ToLower(strings.TrimSpace(name)); format {
	case "":
		return "text", nil
	case "text", "json":
		return format, nil
	default:
		return "", fmt.Errorf("LOG_FORMAT: unknown format %q, want text or json", name)
	}
}

func newLogHandler(output io.Writer, level slog.Level, format string) slog.Handler {
	options := &slog.HandlerOptions{Level: level, ReplaceAttr: replaceBuiltIn}
	output = redactingWriter{output}
	var base slog.Handler = slog.NewTextHandler(output, options)
	if format == "json" {
		base = slog.NewJSONHandler(output, options)
	}
	return &logHandler{root: base, next: base}
}

// replaceBuiltIn writes times in UTC with milliseconds, durations as people
// read them (JSON would have nanoseconds), and gives CRITICAL its name.
func replaceBuiltIn(groups []string, a slog.Attr) slog.Attr {
	if a.Value.Kind() == slog.KindDuration {
		a.Value = slog.StringValue(a.Value.Duration().String())
	}
	if len(groups) > 0 {
		return a
	}
	switch a.Key {
	case slog.TimeKey:
		if a.Value.Kind() == slog.KindTime {
			a.Value = slog.StringValue(a.Value.Time().UTC().Format(logTimeFormat))
		}
	case slog.LevelKey:
		if level, ok := a.Value.Any().(slog.Level); ok && level >= LevelCritical {
			a.Value = slog.StringValue("CRITICAL")
		}
	}
	return a
}

// logHandler adds what the context knows to each record, at the top level even
// where the logger has an open group.
type logHandler struct {
	root  slog.Handler                      // what was set before the first group
	next  slog.Handler                      // root and everything after it
	inner []func(slog.Handler) slog.Handler // from root to next
}

func (h *logHandler) Enabled(ctx context.Context, level slog.Level) bool {
	return h.next.Enabled(ctx, level)
}

func (h *logHandler) Handle(ctx context.Context, r slog.Record) error {
	attrs := contextAttrs(ctx)
	if len(attrs) == 0 {
		return h.next.Handle(ctx, r)
	}
	if len(h.inner) == 0 {
		r = r.Clone()
		r.AddAttrs(attrs...)
		return h.next.Handle(ctx, r)
	}
	next := h.root.WithAttrs(attrs)
	for _, apply := range h.inner {
		next = apply(next)
	}
	return next.Handle(ctx, r)
}

func (h *logHandler) WithAttrs(attrs []slog.Attr) slog.Handler {
	if len(attrs) == 0 {
		return h
	}
	if len(h.inner) == 0 {
		next := h.root.WithAttrs(attrs)
		return &logHandler{root: next, next: next}
	}
	return h.apply(func(next slog.Handler) slog.Handler { return next.WithAttrs(attrs) })
}

func (h *logHandler) WithGroup(name string) slog.Handler {
	if name == "" {
		return h
	}
	return h.apply(func(next slog.Handler) slog.Handler { return next.WithGroup(name) })
}

func (h *logHandler) apply(f func(slog.Handler) slog.Handler) slog.Handler {
	return &logHandler{root: h.root, next: f(h.next), inner: append(slices.Clip(h.inner), f)}
}

type logAttrsKey struct{}

// WithLogAttrs returns a context whose log lines all carry attrs, in addition
// to those it already had. An attribute of the same key is replaced.
func WithLogAttrs(ctx context.Context, attrs ...slog.Attr) context.Context {
	stored, _ := ctx.Value(logAttrsKey{}).([]slog.Attr)
	merged := make([]slog.Attr, 0, len(stored)+len(attrs))
	for _, old := range stored {
		if !slices.ContainsFunc(attrs, func(a slog.Attr) bool { return a.Key == old.Key }) {
			merged = append(merged, old)
		}
	}
	return context.WithValue(ctx, logAttrsKey{}, append(merged, attrs...))
}

func contextAttrs(ctx context.Context) []slog.Attr {
	attrs, _ := ctx.Value(logAttrsKey{}).([]slog.Attr)
	span := trace.SpanContextFromContext(ctx)
	if !span.IsValid() {
		return attrs
	}
	return append(slices.Clip(attrs),
		slog.String(logTraceID, span.TraceID().String()),
		slog.String(logSpanID, span.SpanID().String()))
}
