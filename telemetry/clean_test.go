package telemetry

import (
	"errors"
	"fmt"
	"net/http/httptest"
	"slices"
	"strings"
	"testing"
	"unicode/utf8"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

func TestSpansAreCleanWhoeverWroteThem(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	dirty := "\xff " + secretKey
	attrs := trace.WithAttributes(attribute.String("a", dirty), attribute.StringSlice("b", []string{"x", dirty}), attribute.Int("c", 1))
	_, span := b.Tracer.Start(t.Context(), dirty, attrs)
	span.AddEvent(dirty, attrs)
	span.RecordError(errors.New(dirty))
	span.SetStatus(codes.Error, dirty)
	span.End()

	const want = "\uFFFD sk-or-…cdef"
	got := b.span(t, want)
	if got.Status.Description != want || got.Events[0].Name != want {
		t.Errorf("status is %q and event %q, want %q", got.Status.Description, got.Events[0].Name, want)
	}
	wantAttributes(t, got.Attributes, map[string]string{"a": want, "b": `["x","` + want + `"]`, "c": "1"})
	if text := fmt.Sprint(got.Events); strings.Contains(text, "0123456789") || !utf8.ValidString(text) {
		t.Errorf("events are %q, want them clean", text)
	}
}

// Found with a message id that was not UTF-8: every span of the batch was lost.
func TestBytesThatAreNotTextDoNotCostABatch(t *testing.T) {
	collector := &recorder{}
	server := httptest.NewServer(collector)
	t.Cleanup(server.Close)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", server.URL)
	tel, err := Setup(t.Context(), Config{Output: &buffer{}})
	if err != nil {
		t.Fatal(err)
	}
	for _, id := range []string{"good", "bad\xff"} {
		_, span := tel.StartPublish(t.Context(), "x", id)
		span.End("", nil)
	}
	if err := tel.Shutdown(t.Context()); err != nil {
		t.Error(err)
	}
	if got := collector.spanNames(t); !slices.Equal(got, []string{"publish x", "publish x"}) {
		t.Errorf("the collector received %q, want both spans", got)
	}
}

func TestModelsThatAreNotTextDoNotCostAScrape(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	_, chat := b.StartChat(t.Context(), ChatInfo{Model: "m\xff"})
	chat.End(ChatResult{Model: "m\xff"})
	if text := b.scrape(t, openMetrics); !strings.Contains(text, `gen_ai_request_model="other",gen_ai_response_model="other"} 1`) {
		t.Errorf("scrape lacks the call:\n%s", text)
	}
}
