package openrouter_test

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"net/url"

	"gemini-client/service/openrouter"
)

func ExampleClient_Complete() {
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) {
		_, _ = io.WriteString(w, `: OPENROUTER PROCESSING

data: {"model":"google/gemini-2.5-flash","choices":[{"delta":{"content":"Hello,"}}]}

data: {"model":"google/gemini-2.5-flash","choices":[{"delta":{"content":" world"},"finish_reason":"stop"}]}

data: {"choices":[],"usage":{"prompt_tokens":9,"completion_tokens":2,"total_tokens":11,"cost":0.0000077}}

data: [DONE]

`)
	}))
	defer server.Close()

	base, _ := url.Parse(server.URL)
	client, err := openrouter.New(openrouter.Config{BaseURL: base})
	if err != nil {
		fmt.Println(err)
		return
	}
	defer client.CloseIdleConnections()
	answer, err := client.Complete(context.Background(), "sk-or-v1-…", &openrouter.Request{
		Model:     "google/gemini-2.5-flash",
		Messages:  json.RawMessage(`[{"role":"user","content":"Greet the world."}]`),
		MaxTokens: 100,
	}, func(piece string) { fmt.Printf("%q\n", piece) })
	if failed, ok := errors.AsType[*openrouter.Error](err); ok {
		fmt.Println(failed.Kind, failed.Status, failed.Retryable)
		return
	}
	fmt.Println(answer.Content, answer.FinishReason, *answer.Usage.Cost)
	// Output:
	// "Hello,"
	// " world"
	// Hello, world stop 7.7e-06
}
