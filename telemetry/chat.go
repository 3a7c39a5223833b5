package telemetry

import (
	"context"
	"encoding/json"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/trace"
)

// ChatInfo describes a model call as it is sent. Nil and zero values were not
// sent.
type ChatInfo struct {
	Model         string
	Tenant        string // whose request it is
	Temperature   *float64
	TopP          *float64
	TopK          *int
	MaxTokens     int
	Stop          []string
	Seed          *int64
	Frequency     *float64 // penalty
	Presence      *float64 // penalty
	OutputType    string   // "json" or "text", where the request asks for one
	Stream        bool
	ServerAddress string
	ServerPort    int

	// The prompt is recorded only if the operator asks for it: an instruction,
	// and either a prompt or a list of messages in the form of OpenRouter's API.
	Instruction string
	Prompt      string
	Messages    json.RawMessage
}

func (c ChatInfo) parameters() []attribute.KeyValue {
	attrs := append(make([]attribute.KeyValue, 0, 11), tenantOf(c.Tenant)...)
	if c.Temperature != nil {
		attrs = append(attrs, keyRequestTemp.Float64(*c.Temperature))
	}
	if c.TopP != nil {
		attrs = append(attrs, keyRequestTopP.Float64(*c.TopP))
	}
	if c.TopK != nil {
		attrs = append(attrs, keyRequestTopK.Float64(float64(*c.TopK)))
	}
	if c.Seed != nil {
		attrs = append(attrs, keyRequestSeed.Int64(*c.Seed))
	}
	if c.Frequency != nil {
		attrs = append(attrs, keyRequestFrequency.Float64(*c.Frequency))
	}
	if c.Presence != nil {
		attrs = append(attrs, keyRequestPresence.Float64(*c.Presence))
	}
	if c.MaxTokens > 0 {
		attrs = append(attrs, keyRequestMaxTokens.Int(c.MaxTokens))
	}
	if len(c.Stop) > 0 {
		attrs = append(attrs, keyRequestStop.StringSlice(c.Stop))
	}
	if c.OutputType != "" {
		attrs = append(attrs, keyChatOutputType.String(c.OutputType))
	}
	if c.Stream {
		attrs = append(attrs, keyRequestStream.Bool(true))
	}
	return attrs
}

func (c ChatInfo) identity() []attribute.KeyValue {
	return []attribute.KeyValue{
		keyChatOperation.String(operationChat),
		keyChatProvider.String(providerOpenRouter),
		keyRequestModel.String(c.Model),
	}
}

func (c ChatInfo) server() []attribute.KeyValue {
	if c.ServerAddress == "" {
		return nil
	}
	attrs := []attribute.KeyValue{keyServerAddress.String(c.ServerAddress)}
	if c.ServerPort > 0 {
		attrs = append(attrs, keyServerPort.Int(c.ServerPort))
	}
	return attrs
}

// ChatResult is the outcome of a model call. What is not known stays nil or
// empty: an unknown number of tokens is not zero tokens.
type ChatResult struct {
	ResponseID      string
	Model           string // that answered
	FinishReason    string
	Provider        string // behind OpenRouter
	InputTokens     *int64 // including the cached ones
	OutputTokens    *int64 // including the reasoning
	CachedTokens    *int64
	ReasoningTokens *int64
	Cost            *float64      // USD
	ServiceTier     string        // that answered
	CacheHit        *bool         // of OpenRouter's response cache; nil if it was not asked
	FirstChunk      time.Duration // from the start of the call to its first chunk; 0 if none came
	ErrorType       string        // of a small closed set; empty for success
	Err             error         // its text is shortened and redacted; it must hold no prompt and no answer

	// The answer, recorded only if the operator asks for it. ToolCalls is a list
	// in the form of OpenRouter's API.
	Content   string
	Refusal   string
	Reasoning string
	ToolCalls json.RawMessage
}

func (r ChatResult) attributes() []attribute.KeyValue {
	attrs := make([]attribute.KeyValue, 0, 12)
	addString := func(key attribute.Key, value string) {
		if value != "" {
			attrs = append(attrs, key.String(value))
		}
	}
	addInt := func(key attribute.Key, value *int64) {
		if value != nil {
			attrs = append(attrs, key.Int64(*value))
		}
	}
	addString(keyResponseID, r.ResponseID)
	addString(keyResponseModel, r.Model)
	addString(keyUpstreamProvider, r.Provider)
	addString(keyUpstreamTier, r.ServiceTier)
	if r.CacheHit != nil {
		attrs = append(attrs, keyUpstreamCacheHit.Bool(*r.CacheHit))
	}
	addInt(keyUsageInput, r.InputTokens)
	addInt(keyUsageOutput, r.OutputTokens)
	addInt(keyUsageCached, r.CachedTokens)
	addInt(keyUsageReasoning, r.ReasoningTokens)
	if r.FinishReason != "" {
		attrs = append(attrs, keyResponseFinish.StringSlice([]string{r.FinishReason}))
	}
	if r.Cost != nil {
		attrs = append(attrs, keyUpstreamUsageCost.Float64(*r.Cost))
	}
	if r.FirstChunk > 0 {
		attrs = append(attrs, keyResponseFirst.Float64(r.FirstChunk.Seconds()))
	}
	return attrs
}

// ChatSpan is one logical model call, all its attempts included, until its
// answer has been read to the end.
type ChatSpan struct {
	span        trace.Span
	info        ChatInfo
	instruments *Instruments
	start       time.Time
	recorded    bool
	capture     bool
	ended       atomic.Bool
}

// StartChat starts the span of a model call. Its end records duration, tokens,
// time to the first chunk and cost. Prompt and answer are recorded only if the
// environment asks for it, and on this span alone.
func (t *Telemetry) StartChat(ctx context.Context, c ChatInfo) (context.Context, *ChatSpan) {
	s := &ChatSpan{info: c, instruments: t.Instruments, start: time.Now()}
	start := spanStart{kind: trace.SpanKindClient, at: s.start}
	if t.tracing {
		start.name = operationChat + " " + c.Model
		start.attrs = append(c.identity(), c.server()...)
	}
	ctx, s.span = t.begin(ctx, start)
	if s.recorded = s.span.IsRecording(); s.recorded {
		s.span.SetAttributes(c.parameters()...)
	}
	if s.capture = t.capture && s.recorded; s.capture {
		s.span.SetAttributes(c.content()...)
	}
	return ctx, s
}

// End ends the span and records its metrics. Only the first call counts.
func (s *ChatSpan) End(r ChatResult) {
	if s.ended.Swap(true) {
		return
	}
	end := time.Now()
	if r.ErrorType == "" && r.Err != nil {
		r.ErrorType = errorTypeOther
	}
	s.instruments.chatted(forExemplar(s.span), s.info, r, end.Sub(s.start))
	if !s.recorded {
		return
	}
	s.span.SetAttributes(r.attributes()...)
	if s.capture {
		s.span.SetAttributes(r.content()...)
	}
	markFailed(s.span, r.ErrorType, r.Err)
	s.span.End(trace.WithTimestamp(end))
}
