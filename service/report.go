package service

import (
	"context"
	"errors"
	"log/slog"
	"time"

	"gemini-client/events"
	"gemini-client/service/upstream"
	"gemini-client/telemetry"
)

// outcomeGivenBack is a delivery that ended without a verdict: another one of
// the same message will have it.
const outcomeGivenBack telemetry.Verdict = "given_back"

// report is what became of a delivery: what to do with the message, and what
// the span, the metrics and the log tell.
type report struct {
	settlement settlement
	outcome    telemetry.Verdict
	note       string // why it ended without a verdict of its own
	code       events.Code
	text       string
	at         time.Time // of later
	request    events.Request
	reply      upstream.Reply
}

// describe finishes the delivery's span.
func (r report) describe(span *telemetry.Span) {
	if r.request.ID != "" {
		span.SetRequestID(r.request.ID)
	}
	span.SetVerdict(r.outcome, string(r.code))
	if r.outcome == telemetry.VerdictFailed || r.outcome == outcomeGivenBack && r.code != "" { // the latter: a panic
		span.End(string(r.code), errors.New(r.text))
		return
	}
	span.End("", nil)
}

// log writes the one line that a request has at INFO, and counts it.
func (h *handler) log(ctx context.Context, d delivery, r report) {
	h.tel.Instruments.RequestSettled(ctx, r.outcome, string(r.code), r.request.Model)
	attrs := []slog.Attr{
		slog.String("verdict", string(r.outcome)),
		slog.String("model", r.request.Model),
		slog.Int("attempts", r.reply.Attempts),
		slog.Int64("took_ms", time.Since(d.Taken).Milliseconds()),
	}
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	add("code", string(r.code))
	add("note", r.note)
	add("error", r.text)
	if r.outcome == telemetry.VerdictFailed {
		add("way_out", upstream.WayOut(r.code))
	}
	if !r.at.IsZero() {
		add("next_try", r.at.UTC().Format(time.RFC3339))
	}
	if retries := retryCount(d, r.request.RetryCount); retries > 0 {
		attrs = append(attrs, slog.Int("retry_count", retries))
	}
	if d.Deliveries > 1 {
		attrs = append(attrs, slog.Uint64("deliveries", d.Deliveries))
	}
	attrs = append(attrs, usageAttrs(r.reply.Usage)...)
	h.tel.Logger.LogAttrs(ctx, r.level(), "request "+r.word(), attrs...)
}

// level: a person on call looks at warnings; what ends well, or is the
// requester's own doing, is none.
func (r report) level() slog.Level {
	if r.outcome == telemetry.VerdictFailed && (r.code.Deadletter() || r.request.ID == "") {
		return slog.LevelWarn
	}
	if r.outcome == outcomeGivenBack {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

func (r report) word() string {
	switch r.outcome {
	case telemetry.VerdictCompleted:
		return "completed"
	case telemetry.VerdictFailed:
		return "failed"
	case telemetry.VerdictLater:
		return "put back for later"
	case telemetry.VerdictDuplicate:
		return "acknowledged as a duplicate"
	}
	return "given back"
}

// usageAttrs is what a request consumed, as a log line has it.
func usageAttrs(u upstream.Usage) []slog.Attr {
	if u.Tokens == nil {
		return nil
	}
	attrs := []slog.Attr{slog.Int("tokens_in", u.Tokens.PromptTokens), slog.Int("tokens_out", u.Tokens.CompletionTokens)}
	if u.Cost != nil {
		attrs = append(attrs, slog.Float64("cost", *u.Cost))
	}
	return attrs
}
