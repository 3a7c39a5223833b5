package events

import (
	"errors"
	"fmt"
	"slices"
	"time"
	"unicode/utf8"

	"gemini-client/events/jsonscan"
)

// Decode reads a request body and checks every rule of the contract. now is
// the timestamp of a request that has none. Keys match exactly, unknown fields
// are ignored, and a deadline in the past is allowed.
//
// The error is nil, or wraps ErrNoID, or is a Failure with the code
// payload_too_large, callback_not_allowed or invalid_request, in this order if
// several apply. Its message names every broken rule: the field, what is wrong
// and how to fix it. It never shows prompts or metadata. Beside a Failure the
// Request holds only what its answer needs: ID, CallbackQueue (the default if
// the one named may not be used), and Metadata, RetryCount and BodyRef if they are valid.
func (r Rules) Decode(body []byte, now time.Time) (Request, error) {
	object, trailing, err := topObject(body)
	if err != nil {
		return Request{}, fmt.Errorf("%w: %w", ErrNoID, err)
	}
	d := decoder{rules: r}
	d.top = readFields(object, "", &d.broken, "request_id", "prompt", "messages", "model", "parameters",
		"system_instruction", "callback_queue", "timestamp", "retry_count", "metadata", "stream", "deadline", "openrouter",
		"service_tier_fallback", "cache_ttl", "tier", "tier_fallback", "body_ref")
	if d.request.ID, err = d.id(); err != nil {
		return Request{}, fmt.Errorf("%w: %w", ErrNoID, err)
	}
	if trailing {
		d.broken.add("body", "goes on after the object; send one object alone")
	}
	if !utf8.Valid(body) {
		d.broken.add("body", "is not UTF-8 at offset %d; send UTF-8", invalidUTF8(body))
	}
	d.envelope(now)
	d.question()
	d.parameters()
	d.openRouter()
	d.saving()
	return d.outcome(len(body))
}

// decoder is the state of one Decode.
type decoder struct {
	rules   Rules
	top     fields
	broken  broken
	request Request
	denied  bool // The callback is not allowed.

	tooLarge string // Why the object of body_ref is; "" if it is not.
}

// id returns the request id. The error says why there is no usable one.
func (d *decoder) id() (string, error) {
	value, there := d.top.values["request_id"]
	switch {
	case !there:
		return "", errors.New("request_id is missing")
	case d.top.repeated["request_id"]:
		return "", errors.New("request_id is given more than once")
	case jsonscan.KindOf(value) != jsonscan.String:
		return "", fmt.Errorf("request_id is %s, not a UUID string", show(value))
	}
	if id := jsonscan.Text(value); !ValidID(id) {
		return "", fmt.Errorf("request_id is %s, not a UUID", show(value))
	}
	return jsonscan.Text(value), nil
}

// envelope reads the fields that do not go to the model.
func (d *decoder) envelope(now time.Time) {
	d.callback()
	d.batchTier()
	d.request.RetryCount = d.top.count("retry_count")
	d.request.Stream = d.top.boolean("stream")
	d.request.Timestamp = now.UTC()
	if value, ok := d.top.get("timestamp"); ok {
		d.request.Timestamp = d.top.timeOf("timestamp", value)
	}
	if value, ok := d.top.getOrNull("deadline"); ok {
		d.request.Deadline = d.top.timeOf("deadline", value)
	}
	if value, ok := d.top.getOrNull("metadata"); ok {
		if kind := jsonscan.KindOf(value); kind != jsonscan.Object {
			d.broken.add("metadata", "is %s; give an object or null", kind)
		} else if d.broken.withinDepth(MaxMetadataDepth, "metadata", value) && utf8.Valid(value) { // Else the body is broken, and a result with it would be.
			d.request.Metadata = value
		}
	}
}

func (d *decoder) callback() {
	d.request.CallbackQueue = d.rules.DefaultCallback
	callback, ok := d.top.text("callback_queue")
	if !ok {
		return
	}
	if to, allowed := d.rules.callback(callback); allowed {
		d.request.CallbackQueue = to
	} else {
		d.denied = true
		d.broken.add("callback_queue", "is %s, which is not allowed; give one of %s or leave it out",
			quote(callback), quoteAll(d.rules.Callbacks))
	}
}

// outcome makes the Request and the error that Decode returns.
func (d *decoder) outcome(size int) (Request, error) {
	code := InvalidRequest
	if d.denied {
		code = CallbackNotAllowed
	}
	if d.tooLarge != "" {
		code = PayloadTooLarge
		d.broken.texts = slices.Insert(d.broken.texts, 0, d.tooLarge)
	}
	if limit := d.rules.MaxBytes; limit > 0 && size > limit {
		code = PayloadTooLarge
		d.broken.texts = slices.Insert(d.broken.texts, 0,
			fmt.Sprintf("body: is %d bytes long; send at most %d", size, limit))
	}
	if len(d.broken.texts) == 0 {
		return d.request, nil
	}
	return Request{
		ID:            d.request.ID,
		CallbackQueue: d.request.CallbackQueue,
		Metadata:      d.request.Metadata,
		RetryCount:    d.request.RetryCount,
		BodyRef:       d.request.BodyRef,
	}, Failure{Code: code, Message: d.broken.String()}
}

// invalidUTF8 returns the offset of the first byte that is not UTF-8.
func invalidUTF8(body []byte) int {
	for i := 0; i < len(body); {
		r, size := utf8.DecodeRune(body[i:])
		if r == utf8.RuneError && size == 1 {
			return i
		}
		i += size
	}
	return len(body)
}

// topObject returns the part of body that is its one JSON object. trailing
// reports whether something follows it. The error says why there is no object.
func topObject(body []byte) (object []byte, trailing bool, err error) {
	begin := jsonscan.Spaces(body, 0)
	end, ok := jsonscan.Check(body, begin)
	if !ok {
		return nil, false, fmt.Errorf("the body is not JSON at offset %d of %d", end, len(body))
	}
	object = body[begin:end:end]
	if kind := jsonscan.KindOf(object); kind != jsonscan.Object {
		return nil, false, fmt.Errorf("the body is %s, not an object", kind)
	}
	return object, jsonscan.Spaces(body, end) < len(body), nil
}
