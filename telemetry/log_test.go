package telemetry

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"regexp"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/trace"
)

const (
	traceparent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	traceID     = "0af7651916cd43dd8448eb211c80319c"
	spanID      = "b7ad6b7169203331"
	secretKey   = "sk-or-v1-0123456789abcdef0123456789abcdef0123456789abcdef0123456789abcdef"
)

func newTestLogger(t *testing.T, c Config) (*slog.Logger, *bytes.Buffer) {
	t.Helper()
	var output bytes.Buffer
	c.Output = &output
	log, err := NewLogger(c)
	if err != nil {
		t.Fatal(err)
	}
	return log, &output
}

func withRemoteSpan(t *testing.T) context.Context {
	t.Helper()
	ctx := nop().Extract(t.Context(), map[string][]string{"traceparent": {traceparent}})
	if !trace.SpanContextFromContext(ctx).IsValid() {
		t.Fatal("no span in the context")
	}
	return ctx
}

func TestLevels(t *testing.T) {
	t.Parallel()
	tests := []struct {
		level string
		want  string // first letters of the levels that are written
	}{
		{"debug", "DIWEC"},
		{"", "IWEC"},
		{" Info ", "IWEC"},
		{"WARN", "WEC"},
		{"warning", "WEC"},
		{"Error", "EC"},
		{"CRITICAL", "C"},
	}
	for _, test := range tests {
		t.Run(test.level, func(t *testing.T) {
			t.Parallel()
			log, output := newTestLogger(t, Config{LogLevel: test.level})
			for _, level := range []slog.Level{slog.LevelDebug, slog.LevelInfo, slog.LevelWarn, slog.LevelError, LevelCritical} {
				log.Log(t.Context(), level, "x")
			}
			var got strings.Builder
			for _, match := range regexp.MustCompile(`level=(\w)\w+ `).FindAllStringSubmatch(output.String(), -1) {
				got.WriteString(match[1])
			}
			if got.String() != test.want {
				t.Errorf("written: %s, want %s", got.String(), test.want)
			}
		})
	}
}

func TestLogLine(t *testing.T) {
	t.Parallel()
	ctx := WithLogAttrs(withRemoteSpan(t), slog.String("request_id", "r-0"), slog.String("queue", "q"))
	ctx = WithLogAttrs(ctx, slog.String("request_id", "r-1"))
	log, output := newTestLogger(t, Config{LogFormat: "JSON"})
	log.With("a", 1).WithGroup("").WarnContext(ctx, "hello", "b", "x", "wait", 1500*time.Millisecond)
	log.With("a", 1).WithGroup("g").With("c", 2).WithGroup("h").Log(ctx, LevelCritical, "hello", "time", "x", "level", LevelCritical)

	if strings.Contains(output.String(), "r-0") {
		t.Errorf("an attribute that was replaced is in the log: %s", output)
	}
	decoder := json.NewDecoder(output)
	plain, grouped := decodeLine(t, decoder), decodeLine(t, decoder)
	wantLine(t, plain, map[string]any{
		"level": "WARN", "msg": "hello", "a": 1.0, "b": "x", "wait": "1.5s",
		"request_id": "r-1", "queue": "q", "trace_id": traceID, "span_id": spanID,
	})
	wantLine(t, grouped, map[string]any{
		"level": "CRITICAL", "msg": "hello", "a": 1.0,
		"g":          map[string]any{"c": 2.0, "h": map[string]any{"time": "x", "level": "ERROR+4"}},
		"request_id": "r-1", "queue": "q", "trace_id": traceID, "span_id": spanID,
	})
}

func decodeLine(t *testing.T, d *json.Decoder) map[string]any {
	t.Helper()
	var line map[string]any
	if err := d.Decode(&line); err != nil {
		t.Fatal(err)
	}
	return line
}

func wantLine(t *testing.T, got, want map[string]any) {
	t.Helper()
	if at, _ := got["time"].(string); !regexp.MustCompile(`^\d{4}-\d\d-\d\dT\d\d:\d\d:\d\d\.\d{3}Z$`).MatchString(at) {
		t.Errorf("time is %q, want UTC with milliseconds", at)
	}
	delete(got, "time")
	if fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("line is\n%v, want\n%v", got, want)
	}
}

func TestContextAttrsDoNotSpread(t *testing.T) {
	t.Parallel()
	parent := WithLogAttrs(t.Context(), slog.String("a", "1"))
	left, right := WithLogAttrs(parent, slog.String("b", "left")), WithLogAttrs(parent, slog.String("b", "right"))
	log, output := newTestLogger(t, Config{})
	log.InfoContext(left, "x")
	log.InfoContext(right, "x")
	log.InfoContext(parent, "x")
	var got []string
	for line := range strings.Lines(output.String()) {
		_, attrs, _ := strings.Cut(strings.TrimSpace(line), "msg=x ")
		got = append(got, attrs)
	}
	if want := []string{"a=1 b=left", "a=1 b=right", "a=1"}; fmt.Sprint(got) != fmt.Sprint(want) {
		t.Errorf("lines have %q, want %q", got, want)
	}
}

func TestTimesAreUTC(t *testing.T) {
	t.Parallel()
	log, output := newTestLogger(t, Config{})
	at := time.Date(2026, 1, 2, 3, 4, 5, 6_000_000, time.FixedZone("east", 3600))
	if err := log.Handler().Handle(t.Context(), slog.NewRecord(at, slog.LevelInfo, "x", 0)); err != nil {
		t.Fatal(err)
	}
	if want := "time=2026-01-02T02:04:05.006Z "; !strings.HasPrefix(output.String(), want) {
		t.Errorf("line is %q, want it to begin with %s", output, want)
	}
}

func TestLoggersOfOneParentAreApart(t *testing.T) {
	t.Parallel()
	ctx := WithLogAttrs(t.Context(), slog.String("id", "1"))
	log, output := newTestLogger(t, Config{})
	parent := log.WithGroup("g").With("a", 1).With("b", 2)
	left, right := parent.With("c", "left"), parent.With("c", "right")
	left.InfoContext(ctx, "x")
	right.InfoContext(ctx, "x")
	for _, want := range []string{"id=1 g.a=1 g.b=2 g.c=left\n", "id=1 g.a=1 g.b=2 g.c=right\n"} {
		if !strings.Contains(output.String(), want) {
			t.Errorf("log is %q, want %q in it", output, want)
		}
	}
}

type keyHolder struct {
	Keys []string
	Note string
}

func TestLogsHoldNoKey(t *testing.T) {
	t.Parallel()
	for _, format := range []string{"text", "json"} {
		log, output := newTestLogger(t, Config{LogFormat: format})
		err := fmt.Errorf("post: %w", errors.New("key "+secretKey+"\nwas refused"))
		log.Info("key "+secretKey+" is used",
			"value", secretKey,
			"quoted", `{"authorization":"Bearer `+secretKey+`"}`,
			"error", err,
			"struct", keyHolder{Keys: []string{secretKey, secretKey}},
			slog.Group("g", "deep", secretKey),
			secretKey, "as a name",
			"short", "sk-or-abc")
		got := output.String()
		if strings.Contains(got, "0123456789") || strings.Contains(got, "sk-or-abc") {
			t.Errorf("%s: a key is in the log: %s", format, got)
		}
		if n := strings.Count(got, "sk-or-…cdef"); n != 8 {
			t.Errorf("%s: %d masked keys, want 8: %s", format, n, got)
		}
	}
}

func TestRedact(t *testing.T) {
	t.Parallel()
	tests := []struct{ give, want string }{
		{"", ""},
		{"nothing here", "nothing here"},
		{secretKey, "sk-or-…cdef"},
		{"a " + secretKey + ", b " + secretKey + ".", "a sk-or-…cdef, b sk-or-…cdef."},
		{"sk-or-", "sk-or-"},
		{"sk-or-short", "sk-or-…"},
		{"sk-or-12345678abcd", "sk-or-…abcd"},
		{"sk-or-…abcd", "sk-or-…abcd"},
	}
	for _, test := range tests {
		got := Redact(test.give)
		if got != test.want || Redact(got) != got {
			t.Errorf("Redact(%q) = %q, then %q; want %q", test.give, got, Redact(got), test.want)
		}
	}
}

func TestRedactingWriterReportsItsInput(t *testing.T) {
	t.Parallel()
	n, err := redactingWriter{&bytes.Buffer{}}.Write([]byte(secretKey))
	if n != len(secretKey) || err != nil {
		t.Errorf("Write = %d, %v; want %d, as a writer must", n, err, len(secretKey))
	}
}
