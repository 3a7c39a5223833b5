package service

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"time"

	"github.com/google/uuid"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/telemetry"
)

// store publishes the result of a verdict, and returns the verdict it became
// and whether it is the one that is stored. A result that is larger than the
// server accepts loses its reasoning; if that is not enough, it fails, with what
// was paid on it. Error: ctx's cause.
func (h *handler) store(ctx context.Context, d delivery, request events.Request, v verdict, re reply) (verdict, bool, error) {
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
func (h *handler) result(d delivery, request events.Request, v verdict, re reply) events.Result {
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
	r.Attempts, r.RetryCount = re.attempts, retryCount(d, request.RetryCount)
	re.bill().fill(&r)
	return r
}

// A common piece of an error text and a prompt counts as a quotation from echo
// bytes on; a shorter text of the request only as a whole, from echoWhole on.
const (
	echo      = 24
	echoWhole = 6
)

// withoutEcho cuts an error text where it begins to quote the request's own
// words: providers do that, and texts go to logs and spans, where no prompt
// may be.
func withoutEcho(message string, request events.Request) string {
	cut := len(message)
	windows := map[string]int{} // the message's pieces, each with its first place
	for at := len(message) - echo; at >= 0; at-- {
		windows[message[at:at+echo]] = at
	}
	for _, source := range words(request) {
		source = strings.Join(strings.Fields(source), " ") // as error texts have it
		if len(source) < echo {
			if at := strings.Index(message, source); at >= 0 && len(source) >= echoWhole {
				cut = min(cut, at)
			}
			continue
		}
		for i := 0; i+echo <= len(source); i++ {
			if at, ok := windows[source[i:i+echo]]; ok {
				cut = min(cut, at)
			}
		}
	}
	if cut == len(message) {
		return message
	}
	return strings.ToValidUTF8(message[:cut], "") + "… (the rest quotes the request)"
}

// words are the request's texts: of its message list, the list itself and every
// text in it as it reads, without the escapes of JSON.
func words(request events.Request) []string {
	list := []string{request.Prompt, request.SystemInstruction, string(request.Messages)}
	var messages []struct {
		Content any `json:"content"`
	}
	_ = json.Unmarshal(request.Messages, &messages) // what cannot be read is still looked for as it is
	for _, message := range messages {
		list = texts(list, message.Content)
	}
	return list
}

// texts adds the texts of a message's content: it is one, or a list of parts.
func texts(list []string, content any) []string {
	switch content := content.(type) {
	case string:
		return append(list, content)
	case []any:
		for _, part := range content {
			list = texts(list, part)
		}
	case map[string]any:
		return texts(list, content["text"])
	}
	return list
}
