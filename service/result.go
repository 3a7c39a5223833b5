package service

import (
	"context"
	"errors"
	"time"

	"github.com/google/uuid"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/upstream"
	"gemini-client/telemetry"
)

// store publishes the result of a verdict, and returns the verdict it became
// and whether it is the one that is stored. A result that is larger than the
// server accepts loses its reasoning; if that is not enough, it fails, with what
// was paid on it. Error: ctx's cause.
func (h *handler) store(ctx context.Context, d delivery, request events.Request, v verdict, re upstream.Reply) (verdict, bool, error) {
	result := h.result(d, request, v, re)
	stored, err := h.publish(ctx, request.CallbackQueue, result, h.follows(d))
	if errors.Is(err, errTooLarge) && result.Reasoning != nil {
		result.Reasoning = nil
		stored, err = h.publish(ctx, request.CallbackQueue, result, h.follows(d))
	}
	if errors.Is(err, errTooLarge) {
		v = failed(events.PayloadTooLarge, "The result is larger than the message bus accepts (NATS max_payload); ask for a shorter answer or less metadata.")
		result = h.result(d, request, v, re)
		stored, err = h.publish(ctx, request.CallbackQueue, result, h.follows(d))
	}
	if errors.Is(err, errTooLarge) { // it is the metadata alone, then
		result.Metadata = nil
		stored, err = h.publish(ctx, request.CallbackQueue, result, h.follows(d))
	}
	return v, stored, err
}

// publish is one result in its span, with a message id made for this delivery.
func (h *handler) publish(ctx context.Context, callback string, r events.Result, expect uint64) (bool, error) {
	body, err := r.Encode()
	if err != nil {
		return false, err
	}
	messageID := events.MessageID(r.RequestID, uuid.NewString())
	completed := r.Status == events.StatusSuccess
	ctx, span := h.tel.StartPublish(ctx, resultTemplate(callback, completed), messageID)
	header := events.ResultHeader(r, messageID, source(h.config), r.Timestamp)
	h.tel.Inject(ctx, header)
	stored, err := h.results.store(ctx, publication{
		callback: callback, id: r.RequestID, completed: completed,
		messageID: messageID, header: header, body: body, expect: expect,
	})
	switch {
	case errors.Is(err, errTooLarge):
		span.End("too_large", err)
	case err != nil:
		span.End("store", err)
	case !stored:
		span.End("refused", errSecond)
	default:
		span.End("", nil)
	}
	return stored, err
}

// errSecond tells on a span that a second result was not stored.
var errSecond = errors.New("another result was stored first")

// resultTemplate is the subject of a result without its id, for telemetry.
func resultTemplate(callback string, completed bool) string {
	if completed {
		return events.Completed(callback, "{request_id}")
	}
	return events.Failed(callback, "{request_id}")
}

// source names this deployment in the events: a URI reference, as CloudEvents
// wants it.
func source(c *config.Config) string { return "/gemini-client/" + c.RequestQueue }

// result is the event of a verdict.
func (h *handler) result(d delivery, request events.Request, v verdict, re upstream.Reply) events.Result {
	now := time.Now()
	var r events.Result
	if v.kind == telemetry.VerdictCompleted {
		r = request.Completed(v.answer.Content, now)
		if v.answer.Content == "" && v.answer.ToolCalls != nil {
			r.Content = nil
		}
		r.ModelUsed = text(v.answer.Model)
		r.Reasoning, r.ToolCalls = text(v.answer.Reasoning), v.answer.ToolCalls
	} else {
		r = request.Failed(v.failure, now)
	}
	took := float64(now.Sub(d.Taken).Microseconds()) / 1000
	r.ProcessingTimeMS = &took
	r.Attempts, r.RetryCount = re.Attempts, retryCount(d, request.RetryCount)
	r.FinishReason, r.Provider, r.GenerationID = text(re.Usage.FinishReason), text(re.Usage.Provider), text(re.Usage.GenerationID)
	r.Usage, r.Cost = re.Usage.Tokens, re.Usage.Cost
	return r
}

// text is nil for what is not known.
func text(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}
