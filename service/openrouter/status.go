package openrouter

import (
	"cmp"
	"math"
	"net/http"
	"strconv"
	"strings"
	"time"
)

// objectStatus returns the status an error object stands for where HTTP said 200, or 0.
func objectStatus(obj errorObject) int {
	if code, err := strconv.Atoi(string(obj.Code)); err == nil && code >= 100 && code <= 599 {
		return code
	}
	if obj.HTTPStatus >= 100 && obj.HTTPStatus <= 599 {
		return obj.HTTPStatus
	}
	status := cmp.Or(typeStatus(string(obj.Code)), typeStatus(obj.Metadata.ErrorType), typeStatus(obj.ErrorType))
	if a := obj.availability(); status == 0 && a != nil {
		status = typeStatus(a.Code)
	}
	return status
}

// typeStatus returns the status that an error_type, a code in words (mid-stream errors have them) or an availability code comes
// with, or 0.
func typeStatus(errorType string) int {
	switch errorType {
	case "invalid_request", "invalid_prompt", "context_length_exceeded", "max_tokens_exceeded", "token_limit_exceeded",
		"string_too_long", "content_policy_violation", "refusal", "invalid_image", "image_too_large", "image_too_small",
		"unsupported_image_format", "image_download_failed", "model_not_found", "wrong_endpoint":
		return http.StatusBadRequest
	case "authentication":
		return http.StatusUnauthorized
	case "payment_required":
		return http.StatusPaymentRequired
	case "permission_denied", "moderation", "guardrail", "region_restricted":
		return http.StatusForbidden
	case "not_found", "image_not_found", "no_endpoints", "model_deprecated", "model_unavailable_upstream", "privacy_restricted",
		"constraint_filtered", "free_variant_ended":
		return http.StatusNotFound
	case "conflict":
		return http.StatusConflict
	case "precondition_failed":
		return http.StatusPreconditionFailed
	case "payload_too_large":
		return http.StatusRequestEntityTooLarge
	case "unprocessable":
		return http.StatusUnprocessableEntity
	case "rate_limit_exceeded", "capacity_exhausted":
		return http.StatusTooManyRequests
	case "server", "server_error", "unmapped":
		return http.StatusInternalServerError
	case "provider_unavailable":
		return http.StatusBadGateway
	case "provider_overloaded", "temporarily_unavailable":
		return http.StatusServiceUnavailable
	case "timeout":
		return http.StatusGatewayTimeout
	}
	return 0
}

// maxRetryAfter bounds absurd values; a caller has limits of its own.
const maxRetryAfter = 31 * 24 * time.Hour

// retryAfter returns the wait a server asks for, from the first place that names one.
func retryAfter(resp *http.Response, obj errorObject) time.Duration {
	inBody := http.Header{}
	for name, value := range obj.Metadata.Headers {
		inBody.Set(name, string(value))
	}
	stated := time.Duration(0)
	if a := obj.availability(); a != nil {
		stated = seconds(string(a.RetryAfter))
	}
	return cmp.Or(
		waitFor(resp.Header.Get("Retry-After")), stated, waitFor(inBody.Get("Retry-After")),
		untilReset(resp.Header.Get("X-RateLimit-Reset")), untilReset(inBody.Get("X-RateLimit-Reset")),
	)
}

// waitFor reads a Retry-After: seconds or an HTTP date.
func waitFor(value string) time.Duration {
	if at, err := http.ParseTime(value); err == nil {
		return within(time.Until(at))
	}
	return seconds(value)
}

func seconds(value string) time.Duration {
	number, err := strconv.ParseFloat(strings.TrimSpace(value), 64)
	if err != nil || math.IsNaN(number) {
		return 0
	}
	return within(time.Duration(min(number, maxRetryAfter.Seconds()) * float64(time.Second)))
}

// untilReset reads an X-RateLimit-Reset: Unix milliseconds.
func untilReset(value string) time.Duration {
	at, err := strconv.ParseInt(strings.TrimSpace(value), 10, 64)
	if err != nil {
		return 0
	}
	return within(time.Until(time.UnixMilli(at)))
}

func within(wait time.Duration) time.Duration { return min(max(wait, 0), maxRetryAfter) }
