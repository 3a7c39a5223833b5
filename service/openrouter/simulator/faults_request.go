package simulator

import (
	"cmp"
	"maps"
	"net/http"
)

// requestFaults are refusals of the request itself.
func requestFaults() []kind {
	return []kind{
		{
			name: "400", about: "400, a malformed parameter",
			answer: refused{400, "invalid_request", "temperature: Invalid input"}.fault(nil),
		},
		{
			name: "context_length", about: "400 context_length_exceeded", routed: true,
			answer: refused{400, "context_length_exceeded", "This endpoint's maximum context length is 1048576 tokens. " +
				"However, you requested about 1310720 tokens. Please reduce the length of either one."}.fault(nil),
		},
		{
			name: "no_models", about: `400 "No models provided", though one was: it passes`,
			answer: refused{400, "invalid_request", "No models provided"}.fault(nil),
		},
		{
			name: "400_provider", about: "400 that a provider returned, relayed with its raw text", routed: true,
			answer: relayed(400, `{"error":{"code":400,"message":"Request contains an invalid argument.","status":"INVALID_ARGUMENT"}}`, nil),
		},
		{
			name: "408", about: "408, the request timed out", routed: true,
			answer: refused{408, "timeout", "Request timed out"}.fault(nil),
		},
		{name: "409", about: "409 conflict", answer: refused{409, "conflict", "Conflict"}.fault(nil)},
		{
			name: "412", about: "412 precondition_failed",
			answer: refused{412, "precondition_failed", "Precondition failed"}.fault(nil),
		},
		{
			name: "413", about: "413 payload_too_large",
			answer: refused{413, "payload_too_large", "Request body is too large"}.fault(nil),
		},
		{
			name: "422", about: "422 unprocessable",
			answer: refused{422, "unprocessable", "Unprocessable entity"}.fault(nil),
		},
		{
			name: "status", about: "any status with any body", routed: true, answer: anyStatus,
			params: []param{
				{name: "code", value: "418", form: whole, about: "the status, 400 to 999"},
				{name: "type", about: "error_type, in place of the status's own"},
				{name: "body", value: "json", oneOf: "json|html|text|empty", about: "json, html, text or empty"},
				retryAfter(""),
			},
		},
	}
}

// anyStatus answers with the status and the kind of body that are asked for.
func anyStatus(e *exchange, a args) reply {
	code := min(max(a.number("code"), 400), 999)
	switch a["body"] {
	case "html":
		return htmlReply(code).retryAfter(a)
	case "text":
		return textReply(code, "text/plain; charset=UTF-8", "error code: "+a["code"]+"\n").retryAfter(a)
	case "empty":
		return textReply(code, "text/plain; charset=UTF-8", "").retryAfter(a)
	}
	return refused{code, cmp.Or(a["type"], errorType(code)), "Simulated status " + a["code"]}.fault(nil)(e, a)
}

// textReply answers with something that is not JSON.
func textReply(status int, contentType, body string) reply {
	r := reply{status: status, header: http.Header{"Content-Type": {contentType}}}
	if body != "" {
		r.steps = []step{{raw: body}}
	}
	return r
}

// relayed is the error of a provider: its own text stands in metadata.raw.
func relayed(status int, raw string, metadata map[string]any) func(*exchange, args) reply {
	all := map[string]any{"raw": raw, "provider_name": "Google", "is_byok": false}
	maps.Copy(all, metadata)
	return func(_ *exchange, a args) reply {
		problem := apiError{Code: status, Message: "Provider returned error", Metadata: all}
		r := errorReply(status, problem, nil)
		return r.retryAfter(a)
	}
}
