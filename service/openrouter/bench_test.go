package openrouter_test

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"

	"gemini-client/service/openrouter"
)

// BenchmarkComplete measures a stream of 1,000 chunks from request to answer, without a network.
func BenchmarkComplete(b *testing.B) {
	chunk := `{"id":"gen-1773273600-aBcDeFgHiJkLmNoPqRsT","object":"chat.completion.chunk","created":1773273600,"model":"google/gemini-2.5-flash",` +
		`"provider":"Google","choices":[{"index":0,"delta":{"role":"assistant","content":" and so on"},"finish_reason":null,"native_finish_reason":null,"logprobs":null}]}`
	body := strings.Repeat(data(chunk), 1_000) + data(delta("", "stop"), "[DONE]")
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(body)), Request: r}, nil
	})
	client := newClient(b, openrouter.Config{Transport: transport})
	b.SetBytes(int64(len(body)))
	b.ReportAllocs()
	for b.Loop() {
		if _, err := client.Complete(context.Background(), testKey, new(hello()), func(string) {}); err != nil {
			b.Fatal(err)
		}
	}
}
