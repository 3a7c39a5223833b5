package upstream

import (
	"context"
	"io"
	"net/http"
	"net/url"
	"strings"
	"testing"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter"
	"gemini-client/telemetry"
)

type responses func(*http.Request) (*http.Response, error)

func (r responses) RoundTrip(q *http.Request) (*http.Response, error) { return r(q) }

// BenchmarkCall measures what a call costs beside net/http: a streamed answer of 20
// chunks, from a transport that has it already.
func BenchmarkCall(b *testing.B) {
	const event = `data: {"id":"gen-1773273600-aBcDeFgHiJkLmNoPqRsT","object":"chat.completion.chunk","created":1773273600,"model":"google/gemini-2.5-flash",` +
		`"provider":"Google","choices":[{"index":0,"delta":{"role":"assistant","content":" and so on"},"finish_reason":null,"native_finish_reason":null,"logprobs":null}]}` + "\n\n"
	stream := strings.Repeat(event, 20) + strings.Replace(event, `"finish_reason":null`, `"finish_reason":"stop"`, 1) + "data: [DONE]\n\n"
	transport := responses(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Body: io.NopCloser(strings.NewReader(stream)), Request: r}, nil
	})
	tel, err := telemetry.Setup(b.Context(), telemetry.Config{LogFormat: "json", Output: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	defer func() { _ = tel.Shutdown(context.Background()) }()
	client, err := openrouter.New(openrouter.Config{Transport: transport})
	if err != nil {
		b.Fatal(err)
	}
	c, _, err := config.Load("", "")
	if err != nil {
		b.Fatal(err)
	}
	c.APIKeys, c.FallbackModels = config.List{"key-1", "key-2"}, nil
	u := newCaller(c, &url.URL{Scheme: "https", Host: "openrouter.ai"}, client, tel)
	defer u.Close()
	ctx := WithRoom(b.Context(), func(context.Context, int) error { return nil })
	request := events.Request{ID: "1", Model: "google/gemini-2.5-flash", Prompt: strings.Repeat("Why is the sky blue? ", 20), Parameters: events.DefaultParameters()}
	b.ReportAllocs()
	for b.Loop() {
		if re := u.Answer(ctx, &request, func(int, string) {}); re.Err != nil {
			b.Fatal(re.Err)
		}
	}
}
