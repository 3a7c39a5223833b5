package openrouter

import (
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"strings"
	"unicode/utf8"
)

const generationHeader = "X-Generation-Id"

// An errorObject is what OpenRouter puts under "error", in a body, an event or a choice.
type errorObject struct {
	Code         text          `json:"code"`
	Message      text          `json:"message"`
	ErrorType    string        `json:"error_type"`
	HTTPStatus   int           `json:"http_status"`
	Metadata     metadata      `json:"metadata"`
	Availability *availability `json:"availability"`
}

type metadata struct {
	Raw          json.RawMessage `json:"raw"`
	ProviderName string          `json:"provider_name"`
	ProviderCode text            `json:"provider_code"`
	ErrorType    string          `json:"error_type"`
	LimitSource  string          `json:"limit_source"`
	Reason       string          `json:"reason"`
	Reasons      []text          `json:"reasons"`
	Patterns     []text          `json:"patterns"`
	FlaggedInput text            `json:"flagged_input"` // part of the prompt: it is never shown
	Headers      map[string]text `json:"headers"`
	ResetsAt     text            `json:"resets_at"` // of a budget
	Availability *availability   `json:"availability"`
}

// statusError reads a response whose status is an error. Its body is limited in size, and by the watch in time: an error
// with the status alone is better than waiting for a body that does not end.
func statusError(key string, resp *http.Response) *Error {
	body, broken := io.ReadAll(io.LimitReader(resp.Body, maxErrorBody))
	var doc struct {
		Error json.RawMessage `json:"error"`
	}
	_ = decode(body, &doc) // a body that is not an object has no error object
	e := errorObjectError(key, resp, doc.Error)
	red := redactor(key)
	if e == nil {
		e = &Error{Kind: KindStatus, Status: resp.StatusCode, RetryAfter: retryAfter(resp, errorObject{})}
		e.Message = red.line(describe(resp, body))
		e.retryStatus()
	}
	// OpenRouter's own error may be longer than what is read, as one that quotes the request.
	cut := len(body) == maxErrorBody && bytes.HasPrefix(bytes.TrimSpace(body), []byte("{"))
	if resp.StatusCode/100 == 4 && !isObject(doc.Error) && !cut {
		e.Edge, e.Retryable = true, true
	}
	e.GenerationID = red.line(resp.Header.Get(generationHeader))
	if broken != nil {
		e.cause = red.cause(broken)
	}
	return e
}

// errorObjectError makes an Error of an error object; nil where there is none, as in "error": null.
func errorObjectError(key string, resp *http.Response, raw json.RawMessage) *Error {
	switch string(bytes.TrimSpace(raw)) {
	case "", "null", "false", `""`, "{}":
		return nil
	}
	var obj errorObject
	if decode(raw, &obj) != nil {
		obj.Message = text(reasonIn(raw, 0))
	}
	red := redactor(key)
	e := &Error{
		Kind:        KindStatus,
		Status:      resp.StatusCode,
		Code:        red.line(string(obj.Code)),
		Type:        red.line(cmp.Or(obj.Metadata.ErrorType, obj.ErrorType)),
		Provider:    red.line(obj.Metadata.ProviderName),
		Relayed:     relayed(obj),
		LimitSource: red.line(obj.Metadata.LimitSource),
		Reason:      red.line(obj.Metadata.Reason),
		moderated:   len(obj.Metadata.Reasons) > 0 || len(obj.Metadata.Patterns) > 0 || obj.Metadata.FlaggedInput != "",
	}
	if a := obj.availability(); a != nil {
		e.Availability, e.AvailabilityRetryable = red.line(a.Code), a.Retryable
		e.excluded = excluded(a.ExcludedBy)
	}
	if resp.StatusCode/100 == 2 {
		e.Status = objectStatus(obj)
	}
	e.said = cmp.Or(red.line(messageOf(obj)), e.Type, e.Availability, e.Code, "an error without a message")
	e.Message = withHints(e.said, red.line(strings.Join(obj.hints(), "; ")))
	e.RetryAfter = retryAfter(resp, obj)
	e.retryStatus()
	if e.Refusal() == RefusalGone {
		e.Model = red.line(e.goneModel(obj))
	}
	return e
}

// relayed reports whether an error is the provider's own. Where raw was left out, only the message shows it.
func relayed(obj errorObject) bool {
	return hasValue(obj.Metadata.Raw) || obj.Metadata.ProviderCode != "" || isRelayMessage(obj.Message)
}

func isRelayMessage(message text) bool {
	return strings.EqualFold(strings.TrimRight(string(message), ". "), "provider returned error")
}

// messageOf adds the provider's reason where the message says only that there was one, and the reasons of a moderation.
func messageOf(obj errorObject) string {
	message := strings.TrimSpace(string(obj.Message))
	if hasValue(obj.Metadata.Raw) && (message == "" || isRelayMessage(obj.Message)) {
		if reason := reasonIn(obj.Metadata.Raw, 0); reason != "" {
			message = "Provider returned error: " + reason
		}
	}
	if len(obj.Metadata.Reasons) > 0 {
		reasons := make([]string, len(obj.Metadata.Reasons))
		for i, reason := range obj.Metadata.Reasons {
			reasons[i] = string(reason)
		}
		message += " (reasons: " + strings.Join(reasons, ", ") + ")"
	}
	return message
}

// reasonIn finds the message in a provider's error: often JSON inside a string, sometimes a list (Google).
func reasonIn(raw []byte, depth int) string {
	raw = bytes.TrimSpace(raw)
	if len(raw) == 0 || string(raw) == "null" {
		return ""
	}
	var inner string
	var list []json.RawMessage
	var object struct {
		Error   json.RawMessage `json:"error"`
		Message text            `json:"message"`
		Detail  text            `json:"detail"`
		Title   text            `json:"title"`
	}
	switch {
	case depth > 4:
	case raw[0] == '<':
		return "an HTML page"
	case json.Unmarshal(raw, &inner) == nil:
		return reasonIn([]byte(inner), depth+1)
	case json.Unmarshal(raw, &list) == nil && len(list) > 0:
		return reasonIn(list[0], depth+1)
	case decode(raw, &object) == nil:
		found := cmp.Or(string(object.Message), reasonIn(object.Error, depth+1), string(object.Detail), string(object.Title))
		return cmp.Or(found, string(raw))
	}
	return string(raw)
}

// describe returns one sentence about a response with an error status and no error object.
func describe(resp *http.Response, body []byte) string {
	status := "HTTP " + strconv.Itoa(resp.StatusCode)
	body = bytes.TrimSpace(body)
	switch {
	case resp.StatusCode/100 == 3:
		host := "the same host"
		if to, err := url.Parse(resp.Header.Get("Location")); err == nil && to.Host != "" {
			host = to.Host
		}
		return fmt.Sprintf("%s: a redirect to %s, which is not followed", status, host)
	case len(body) == 0:
		return strings.TrimSpace(status + " " + http.StatusText(resp.StatusCode))
	case body[0] == '<' || strings.Contains(resp.Header.Get("Content-Type"), "html"):
		return status + " with an HTML page"
	case !utf8.Valid(body[:min(len(body), maxMessage)]) && len(body) < maxErrorBody:
		return status + " with an unreadable body"
	}
	return status + ": " + reasonIn(body, 0)
}

func isObject(raw json.RawMessage) bool {
	raw = bytes.TrimSpace(raw)
	return len(raw) > 0 && raw[0] == '{' && string(raw) != "{}"
}

func hasValue(raw json.RawMessage) bool {
	return len(raw) > 0 && string(raw) != "null" && string(raw) != `""`
}
