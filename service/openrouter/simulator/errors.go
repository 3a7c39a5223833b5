package simulator

import (
	"maps"
	"net/http"
)

// apiError is the error object of every error body and chunk. Availability errors have error_type and http_status
// where the others have a code.
type apiError struct {
	Code         any            `json:"code,omitempty"`
	Message      string         `json:"message"`
	ErrorType    string         `json:"error_type,omitempty"`
	HTTPStatus   int            `json:"http_status,omitempty"`
	Availability *availability  `json:"availability,omitempty"`
	Metadata     map[string]any `json:"metadata,omitempty"`
}

type availability struct {
	Code              string            `json:"code"`
	Retryable         bool              `json:"retryable"`
	RetryAfter        int               `json:"retry_after,omitempty"`
	RequestedModels   []string          `json:"requested_models"`
	AffectedProviders []string          `json:"affected_providers,omitempty"`
	ExcludedBy        []string          `json:"excluded_by,omitempty"`
	FallbackModels    []string          `json:"fallback_models,omitempty"`
	Constraint        map[string]string `json:"constraint,omitempty"`
	DocsURL           string            `json:"docs_url"`
}

// errorBody is the body of an error answer; user_id stands beside the error.
type errorBody struct {
	Error   apiError        `json:"error"`
	UserID  string          `json:"user_id,omitempty"`
	Choices *[]streamChoice `json:"choices,omitempty"`
}

const userID = "user_simulator"

// errorReply answers with an error object before any model was reached.
func errorReply(status int, problem apiError, header http.Header) reply {
	h := http.Header{"Content-Type": {"application/json"}}
	maps.Copy(h, header)
	body := errorBody{Error: problem, UserID: userID}
	if status == http.StatusUnauthorized {
		body.UserID = ""
	}
	return reply{status: status, header: h, steps: []step{{raw: encode(body)}}}
}

// refused is a plain refusal: status, typed code and text.
type refused struct {
	status    int
	errorType string
	message   string
}

// reply returns the refusal with further metadata.
func (r refused) reply(metadata map[string]any) reply {
	all := map[string]any{"error_type": r.errorType}
	maps.Copy(all, metadata)
	return errorReply(r.status, apiError{Code: r.status, Message: r.message, Metadata: all}, nil)
}

// provider returns the same as an answer that a fault makes.
func (r refused) fault(metadata map[string]any) func(*exchange, args) reply {
	return func(_ *exchange, a args) reply { return r.reply(metadata).retryAfter(a) }
}

// retryAfter adds the header if the fault's arguments have it.
func (r reply) retryAfter(a args) reply {
	if a["retry_after"] != "" {
		r.header.Set("Retry-After", a["retry_after"])
	}
	return r
}

// sendError answers a request that is not a chat call.
func sendError(w http.ResponseWriter, status int, message string) {
	send(w, status, errorBody{Error: apiError{Code: status, Message: message}})
}

// send answers a request that is not a chat call.
func send(w http.ResponseWriter, status int, body any) {
	w.Header().Set("Content-Type", "application/json")
	w.WriteHeader(status)
	_, _ = w.Write([]byte(encode(body)))
}

// errorType returns the typed code that OpenRouter gives an error with this status.
func errorType(status int) string {
	switch status {
	case http.StatusBadRequest:
		return "invalid_request"
	case http.StatusUnauthorized:
		return "authentication"
	case http.StatusPaymentRequired:
		return "payment_required"
	case http.StatusForbidden:
		return "permission_denied"
	case http.StatusNotFound:
		return "not_found"
	case http.StatusRequestEntityTooLarge:
		return "payload_too_large"
	case http.StatusTooManyRequests:
		return "rate_limit_exceeded"
	case http.StatusBadGateway:
		return "provider_unavailable"
	case http.StatusServiceUnavailable, 529:
		return "provider_overloaded"
	case http.StatusRequestTimeout, http.StatusGatewayTimeout:
		return "timeout"
	case http.StatusInternalServerError:
		return "server"
	}
	return "unmapped"
}
