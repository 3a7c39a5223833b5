package telemetry

import (
	"errors"
	"strings"
	"testing"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	sdktrace "go.opentelemetry.io/otel/sdk/trace"
	"go.opentelemetry.io/otel/trace"
)

func sampleChat() ChatInfo {
	return ChatInfo{
		Model:         "google/gemini-2.5-flash",
		Temperature:   new(0.7),
		TopP:          new(0.95),
		TopK:          new(40),
		MaxTokens:     8192,
		Stop:          []string{"END"},
		Seed:          new(int64(7)),
		Frequency:     new(0.5),
		Presence:      new(-0.5),
		OutputType:    "json",
		Stream:        true,
		ServerAddress: "openrouter.ai",
		ServerPort:    443,
	}
}

func sampleResult() ChatResult {
	return ChatResult{
		ResponseID:      "gen-1",
		Model:           "google/gemini-2.5-flash-001",
		FinishReason:    "stop",
		Provider:        "Google",
		InputTokens:     new(int64(10)),
		OutputTokens:    new(int64(20)),
		CachedTokens:    new(int64(0)),
		ReasoningTokens: new(int64(5)),
		Cost:            new(0.25),
		ServiceTier:     "flex",
		CacheHit:        new(false),
		FirstChunk:      500 * time.Millisecond,
	}
}

func TestChatSpan(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	ctx, process := b.StartProcess(t.Context(), sampleProcess())
	_, chat := b.StartChat(ctx, sampleChat())
	chat.End(sampleResult())
	chat.End(ChatResult{ErrorType: "twice"})
	process.End("", nil)

	got := b.span(t, "chat google/gemini-2.5-flash")
	if got.SpanKind != trace.SpanKindClient || got.Parent.SpanID() != b.span(t, "process gemini.requests").SpanContext.SpanID() {
		t.Errorf("chat is a %v below %v, want a client below process", got.SpanKind, got.Parent)
	}
	if got.Status.Code != codes.Unset {
		t.Errorf("status is %v, want none", got.Status)
	}
	wantAttributes(t, got.Attributes, map[string]string{
		"gen_ai.operation.name":                "chat",
		"gen_ai.provider.name":                 "openrouter",
		"gen_ai.request.model":                 "google/gemini-2.5-flash",
		"gen_ai.request.temperature":           "0.7",
		"gen_ai.request.top_p":                 "0.95",
		"gen_ai.request.top_k":                 "40",
		"gen_ai.request.max_tokens":            "8192",
		"gen_ai.request.stop_sequences":        `["END"]`,
		"gen_ai.request.stream":                "true",
		"gen_ai.request.seed":                  "7",
		"gen_ai.request.frequency_penalty":     "0.5",
		"gen_ai.request.presence_penalty":      "-0.5",
		"gen_ai.output.type":                   "json",
		"gen_ai.response.id":                   "gen-1",
		"gen_ai.response.model":                "google/gemini-2.5-flash-001",
		"gen_ai.response.finish_reasons":       `["stop"]`,
		"gen_ai.response.time_to_first_chunk":  "0.5",
		"gen_ai.usage.input_tokens":            "10",
		"gen_ai.usage.output_tokens":           "20",
		"gen_ai.usage.cache_read.input_tokens": "0",
		"gen_ai.usage.reasoning.output_tokens": "5",
		"openrouter.provider":                  "Google",
		"openrouter.usage.cost":                "0.25",
		"openrouter.service_tier":              "flex",
		"openrouter.cache.hit":                 "false",
		"server.address":                       "openrouter.ai",
		"server.port":                          "443",
	})
}

func TestChatSpanOfAFailure(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	_, chat := b.StartChat(t.Context(), ChatInfo{Model: "m"})
	chat.End(ChatResult{ErrorType: "timeout", Err: errors.New("no answer\nwith " + secretKey)})
	got := b.span(t, "chat m")
	if got.Status.Code != codes.Error || got.Status.Description != "no answer" {
		t.Errorf("status is %v, want a short error", got.Status)
	}
	wantAttributes(t, got.Attributes, map[string]string{
		"gen_ai.operation.name": "chat",
		"gen_ai.provider.name":  "openrouter",
		"gen_ai.request.model":  "m",
		"error.type":            "timeout",
	})
}

// The ids are those of the span that the context carries; without one there are none.
func TestIDs(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	ctx, chat := b.StartChat(t.Context(), sampleChat())
	chat.End(sampleResult())
	span := b.span(t, "chat google/gemini-2.5-flash").SpanContext
	if traceID, spanID := IDs(ctx); traceID != span.TraceID().String() || spanID != span.SpanID().String() {
		t.Errorf("IDs: got %s and %s, want %s and %s", traceID, spanID, span.TraceID(), span.SpanID())
	}
	if traceID, spanID := IDs(t.Context()); traceID != "" || spanID != "" {
		t.Errorf("IDs without a span: got %q and %q", traceID, spanID)
	}
}

// startSampler notes the attributes a span starts with.
type startSampler struct {
	sdktrace.Sampler
	seen []attribute.KeyValue
}

func (s *startSampler) ShouldSample(p sdktrace.SamplingParameters) sdktrace.SamplingResult {
	s.seen = p.Attributes
	return s.Sampler.ShouldSample(p)
}

// Samplers see only what is set when a span starts.
func TestChatAttributesAreSetAtTheStart(t *testing.T) {
	t.Parallel()
	sampler := &startSampler{Sampler: sdktrace.AlwaysSample()}
	tel := nop()
	tel.Tracer, tel.tracing = sdktrace.NewTracerProvider(sdktrace.WithSampler(sampler)).Tracer("test"), true
	_, chat := tel.StartChat(t.Context(), sampleChat())
	chat.End(ChatResult{})
	got := attributesOf(sampler.seen)
	for _, key := range []string{"gen_ai.operation.name", "gen_ai.provider.name", "gen_ai.request.model", "server.address", "server.port"} {
		if got[key] == "" {
			t.Errorf("the sampler saw %v, want %s among it", got, key)
		}
	}
}

func TestRetriesAreEventsOfTheSpan(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	ctx, chat := b.StartChat(t.Context(), ChatInfo{Model: "m"})
	b.Instruments.CallRetried(ctx, 1, "rate_limited", 1500*time.Millisecond)
	chat.End(ChatResult{})
	events := b.span(t, "chat m").Events
	if len(events) != 1 || events[0].Name != "gemini.retry" {
		t.Fatalf("events are %v, want one retry", events)
	}
	wantAttributes(t, events[0].Attributes, map[string]string{
		"gemini.retry.attempt":      "1",
		"gemini.retry.reason":       "rate_limited",
		"gemini.retry.wait_seconds": "1.5",
	})
}

func TestOnlyChatSpansHaveChatAttributes(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	ctx, process := b.StartProcess(t.Context(), sampleProcess())
	callCtx, chat := b.StartChat(ctx, sampleChat())
	call(callCtx, t, b.Telemetry, "http://127.0.0.1:0")
	chat.End(sampleResult())
	_, publish := b.StartPublish(ctx, "x", "1")
	publish.End("", nil)
	_, settle := b.StartSettle(ctx, "ack", "gemini.requests")
	settle.End("", nil)
	process.End("", nil)
	for _, span := range b.spans.GetSpans() {
		for _, a := range span.Attributes {
			if strings.HasPrefix(string(a.Key), "gen_ai.") && !strings.HasPrefix(span.Name, "chat ") {
				t.Errorf("span %q has %s", span.Name, a.Key)
			}
		}
	}
}
