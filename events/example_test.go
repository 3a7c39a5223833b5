package events_test

import (
	"errors"
	"fmt"
	"time"

	"gemini-client/events"
)

func ExampleRules_Decode() {
	rules := events.Rules{
		DefaultModel:    "google/gemini-2.5-flash",
		DefaultCallback: "gemini.responses",
		Callbacks:       []string{"gemini.responses"},
		Models:          []string{"google/*"},
	}
	body := []byte(`{"request_id": "0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a", "prompt": "Why is the sky blue?"}`)

	request, err := rules.Decode(body, time.Now())
	fmt.Println(err)
	fmt.Println(request.Model, request.Parameters.MaxOutputTokens, request.CallbackQueue)
	// Output:
	// <nil>
	// google/gemini-2.5-flash 8192 gemini.responses
}

func ExampleRules_Decode_failure() {
	rules := events.Rules{DefaultCallback: "gemini.responses", Models: []string{"google/*"}}
	for _, body := range []string{
		`{"request_id": "0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a", "model": "gpt", "parameters": {"top_k": 0}}`,
		`{"prompt": "Why?"}`,
	} {
		request, err := rules.Decode([]byte(body), time.Now())
		var failure events.Failure
		switch {
		case errors.Is(err, events.ErrNoID):
			fmt.Println("dead letter:", err)
		case errors.As(err, &failure):
			result := request.Failed(failure, time.Now())
			fmt.Println(result.Subject(request.CallbackQueue))
			fmt.Println(*result.ErrorCode, *result.Retryable)
			fmt.Println(*result.Error)
		}
	}
	// Output:
	// gemini.responses.failed.0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a
	// invalid_request false
	// model: is "gpt", which is not allowed; give a model that matches one of "google/*" | prompt: is missing; give a string of at least 1 character, or messages | parameters.top_k: is 0; give an integer from 1 to 100
	// dead letter: request has no usable request_id: request_id is missing
}

func ExampleResult_Encode() {
	request := events.Request{
		ID:       "0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a",
		Metadata: []byte(`{"order":  7}`),
	}
	result := request.Completed("Because of <Rayleigh> scattering.", time.Date(2026, 11, 23, 8, 30, 0, 0, time.UTC))
	result.Attempts = 1

	body, err := result.Encode()
	fmt.Println(err)
	fmt.Println(string(body))
	// Output:
	// <nil>
	// {"request_id":"0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a","status":"success","content":"Because of <Rayleigh> scattering.","error":null,"usage":null,"processing_time_ms":null,"model_used":null,"finish_reason":null,"provider":null,"generation_id":null,"cost":null,"tool_calls":null,"reasoning":null,"attempts":1,"retry_count":0,"error_code":null,"retryable":null,"timestamp":"2026-11-23T08:30:00.000000Z","metadata":{"order":  7}}
}

func ExampleNames() {
	names := events.Names{
		RequestQueue:  "gemini.requests",
		ResponseQueue: "gemini.responses",
		SubjectPrefix: "gemini",
		StreamPrefix:  "GEMINI",
	}
	const id = "0190F5A1-7C3E-7B1A-9A55-2F6E1C0D4B3A"
	fmt.Println(names.Validate())
	fmt.Println(names.Cancel(id))
	fmt.Println(names.Claim("gemini.responses", id))
	fmt.Println(names.Deadletter(events.RateLimited, id))
	fmt.Println(names.RequestsStream())
	// Output:
	// <nil>
	// gemini.cancels.0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a
	// gemini.claims.gemini.responses.0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a
	// gemini.deadletters.rate_limited.0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a
	// GEMINI_REQUESTS
}

func ExampleParseResult() {
	callback, verdict, id, ok := events.ParseResult("gemini.responses.failed.0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a")
	fmt.Println(callback, verdict, id, ok)
	// Output: gemini.responses failed 0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a true
}

func ExampleWithoutNATS() {
	h := events.Header{"traceparent": {"00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01"}, "Nats-Msg-Id": {"1"}}
	fmt.Println(events.WithoutNATS(h))
	// Output: map[traceparent:[00-4bf92f3577b34da6a3ce929d0e0e4736-00f067aa0ba902b7-01]]
}
