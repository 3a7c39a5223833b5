package service

import (
	"cmp"
	"context"
	"errors"
	"log/slog"
	"time"

	"gemini-client/events"
	"gemini-client/service/upstream"
	"gemini-client/telemetry"
)

// report is what became of a delivery, for span, metrics and log.
type report struct {
	job     *job
	outcome Outcome
	note    string // why it ended without a verdict of its own
	code    events.Code
	text    string
	at      time.Time     // of rescheduled
	after   time.Duration // of nacked: it is delivered again then
	crashed bool          // of nacked: the start counts as one of a crash loop
}

// describe finishes the delivery's span.
func (r *report) describe(span *telemetry.Span) {
	if id := r.job.request.ID; id != "" {
		span.SetRequestID(id)
	}
	span.SetVerdict(r.outcome, string(r.code))
	if r.outcome == Failed || r.outcome == Nacked && r.code != "" { // the latter: a panic
		span.End(string(r.code), errors.New(r.text))
		return
	}
	span.End("", nil)
}

// withRequest adds the id of a request, if it has one, and its tenant to what is logged.
func withRequest(ctx context.Context, j *job) context.Context {
	tenant := slog.String("tenant", cmp.Or(j.delivery.Tenant, events.DefaultTenant))
	if j.request.ID == "" {
		return telemetry.WithLogAttrs(ctx, tenant)
	}
	return telemetry.WithLogAttrs(ctx, slog.String("request_id", j.request.ID), tenant)
}

// record counts the delivery and writes the one line that a request has at INFO.
func (r *report) record(ctx context.Context, tel *telemetry.Telemetry) {
	d, request, reply := r.job.delivery, &r.job.request, &r.job.reply
	tel.Instruments.RequestSettled(ctx, d.Tenant, r.outcome, string(r.code), request.Model)
	level := r.level()
	if !tel.Logger.Enabled(ctx, level) {
		return
	}
	ctx = withRequest(ctx, r.job)
	attrs := append(make([]slog.Attr, 0, 16),
		slog.String("verdict", r.outcome.String()),
		slog.String("model", request.Model),
		slog.Int("attempts", reply.Attempts),
		slog.Int64("took_ms", time.Since(d.Taken).Milliseconds()),
	)
	add := func(key, value string) {
		if value != "" {
			attrs = append(attrs, slog.String(key, value))
		}
	}
	if a := reply.Answer; a != nil && a.Requested != "" {
		add("answered_by", a.Model)
	}
	add("code", string(r.code))
	add("note", r.note)
	add("error", r.text)
	add("still_costs", reply.StillCosts)
	if r.outcome == Failed {
		add("way_out", r.wayOut())
	}
	if !r.at.IsZero() {
		add("next_try", r.at.UTC().Format(time.RFC3339))
	}
	if n := retryCount(d, request.RetryCount); n > 0 {
		attrs = append(attrs, slog.Int("retry_count", n))
	}
	if d.Deliveries > 1 {
		attrs = append(attrs, slog.Uint64("deliveries", d.Deliveries))
	}
	attrs = append(attrs, usageAttrs(reply.Usage.Bill)...)
	tel.Logger.LogAttrs(ctx, level, "request "+r.outcome.String(), attrs...)
}

// wayOut is that of the call's error, where it is why the request failed.
func (r *report) wayOut() string {
	if e := r.job.reply.Err; e != nil && e.Code == r.code {
		return e.WayOut()
	}
	return upstream.WayOut(r.code)
}

// level: a person on call looks at warnings; what ends well, or is the
// requester's own doing, is none. What comes of a schedule whose request was answered
// meanwhile has been told with the answer.
func (r *report) level() slog.Level {
	if r.outcome == Failed && (r.code.Deadletter() || r.job.request.ID == "") {
		return slog.LevelWarn
	}
	if r.outcome == Nacked || r.outcome == Duplicate && r.job.delivery.Retried && r.note == noteAnswered {
		return slog.LevelDebug
	}
	return slog.LevelInfo
}

// usageAttrs is what a delivery consumed, as a log line has it.
func usageAttrs(b events.Bill) []slog.Attr {
	if b.Usage == nil {
		return nil
	}
	attrs := []slog.Attr{slog.Int("tokens_in", b.Usage.PromptTokens), slog.Int("tokens_out", b.Usage.CompletionTokens)}
	if b.Cost != nil {
		attrs = append(attrs, slog.Float64("cost", *b.Cost))
	}
	return attrs
}

// declare makes what is counted by code begin with 0, so that each metric is
// there from the first scrape on.
func declare(ctx context.Context, i *telemetry.Instruments, model string, fallbacks []string) {
	i.DeclareModels(append([]string{model}, fallbacks...)...)
	for _, code := range []events.Code{events.InvalidRequest, events.CallbackNotAllowed, events.PayloadTooLarge} {
		i.DeclareFailures(ctx, Failed, "", string(code)) // of a request that could not be read
	}
	for _, code := range events.Codes() {
		i.DeclareFailures(ctx, Failed, model, string(code))
		if code.Deadletter() || code == events.InvalidRequest { // the latter without a usable id
			i.DeclareDeadLetters(ctx, string(code))
		}
		if code.Retryable() && code != events.RedeliveryExhausted && code != events.Internal { // time or another key may heal it
			i.DeclareReasons(ctx, string(code))
		}
	}
}
