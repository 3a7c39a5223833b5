package main

import (
	"encoding/json"
	"fmt"
	"strconv"
	"strings"
)

// Names that the service has by default.
const (
	requestSubject  = "gemini.requests"
	completedPrefix = "gemini.responses.completed."
	failedAll       = "gemini.responses.failed.*"
	deltasAll       = "gemini.deltas.*"
	requestsStream  = "GEMINI_REQUESTS"
	responsesStream = "GEMINI_RESPONSES"
	claimsStream    = "GEMINI_CLAIMS"
	durable         = "gemini-client"
)

// apiKey is a key that is none.
const apiKey = "sk-or-bench" //nolint:gosec // it opens nothing

// prompt makes a request of about half a kilobyte.
const prompt = "Why is the sky blue? Answer in two or three sentences for somebody of ten years, and do not use a word that such a reader would have to look up. " +
	"Then say in one more sentence why it is red in the evening."

// chatBody is what the floor posts: what the service posts for the same request.
const chatBody = `{"max_tokens":8192,"messages":[{"role":"user","content":"` + prompt + `"}],"model":"google/gemini-2.5-flash","stream":true,"temperature":0.7,"top_k":40,"top_p":0.95}`

// requestID is the id of request i: a number that can be read back.
func requestID(i int) string { return fmt.Sprintf("%08x-0000-4000-8000-%012x", uint32(i), i) } //nolint:gosec // what is cut off is in the second number

// requestIndex is the number in an id.
func requestIndex(id string) (int, bool) {
	i, err := strconv.ParseInt(id[max(0, len(id)-12):], 16, 64)
	return int(i), err == nil && requestID(int(i)) == id
}

// requestBody is a request as existing backends send it.
func requestBody(id string, stream bool) []byte {
	more := ""
	if stream {
		more = `,"stream":true`
	}
	return []byte(`{"request_id":"` + id + `","prompt":"` + prompt + `","model":"gemini-2.5-flash",` +
		`"parameters":{"temperature":0.7,"top_p":0.95,"top_k":40,"max_output_tokens":8192,"candidate_count":1,"stop_sequences":null},"system_instruction":null,` +
		`"callback_queue":"gemini.responses","timestamp":"2025-12-08T10:11:12.123456","retry_count":0,"metadata":null` + more + `}`)
}

// resultAround is a result as the service writes it, before and after the id.
func resultAround(text string) (before, after string) {
	content, err := json.Marshal(text)
	if err != nil {
		panic(err) // a string
	}
	whole := `{"request_id":"@","status":"success","content":` + string(content) + `,"error":null,"usage":{"prompt_tokens":90,"completion_tokens":240,"total_tokens":330,"cached_tokens":0,"reasoning_tokens":0},` +
		`"processing_time_ms":1234.5,"model_used":"google/gemini-2.5-flash","finish_reason":"stop","provider":"Google","generation_id":"gen-1773273600-aBcDeFgHiJkLmNoPqRsT","cost":0.0000077,` +
		`"tool_calls":null,"reasoning":null,"attempts":1,"retry_count":0,"error_code":null,"retryable":null,"timestamp":"2025-12-08T10:11:13.000120Z","metadata":null}`
	before, after, _ = strings.Cut(whole, "@")
	return before, after
}
