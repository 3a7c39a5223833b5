package simulator_test

import (
	"context"
	"encoding/json"
	"flag"
	"io"
	"maps"
	"net/http"
	"net/http/httptest"
	"os"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gemini-client/service/openrouter/simulator"
)

func TestMain(m *testing.M) {
	flag.Bool("update", false, "write what the simulator sends into testdata")
	goleak.VerifyTestMain(m)
}

const testKey = "sk-or-v1-test-aaaa"

// bench is a simulator behind a real server.
type bench struct {
	*simulator.Simulator
	url    string
	client *http.Client
}

func start(t *testing.T, config simulator.Config) *bench {
	t.Helper()
	sim := simulator.New(config)
	server := httptest.NewServer(sim)
	client := &http.Client{
		Transport:     &http.Transport{DisableCompression: true},
		CheckRedirect: func(*http.Request, []*http.Request) error { return http.ErrUseLastResponse },
	}
	t.Cleanup(func() {
		sim.Close()
		client.CloseIdleConnections()
		server.Close()
	})
	return &bench{Simulator: sim, url: server.URL, client: client}
}

// fields are further fields of a request's body.
type fields map[string]any

// chatBody returns a request's body with one user message.
func chatBody(prompt string, more fields) string {
	body := map[string]any{
		"model":    "google/gemini-2.5-flash",
		"messages": []any{map[string]any{"role": "user", "content": prompt}},
	}
	maps.Copy(body, more)
	data, err := json.Marshal(body)
	if err != nil {
		panic(err)
	}
	return string(data)
}

// answer is what came back: err is how the body ended, if not properly.
type answer struct {
	status int
	header http.Header
	body   string
	err    error
}

func (b *bench) do(ctx context.Context, method, path, key, body string) answer {
	request, err := http.NewRequestWithContext(ctx, method, b.url+path, strings.NewReader(body))
	if err != nil {
		return answer{err: err}
	}
	if key != "" {
		request.Header.Set("Authorization", "Bearer "+key)
	}
	response, err := b.client.Do(request)
	if err != nil {
		return answer{err: err}
	}
	defer response.Body.Close()
	data, err := io.ReadAll(response.Body)
	return answer{response.StatusCode, response.Header, string(data), err}
}

func (b *bench) chat(t *testing.T, prompt string, more fields) answer {
	t.Helper()
	return b.do(t.Context(), http.MethodPost, "/api/v1/chat/completions", testKey, chatBody(prompt, more))
}

func (b *bench) get(t *testing.T, path, key string) answer {
	t.Helper()
	return b.do(t.Context(), http.MethodGet, path, key, "")
}

// last returns the newest call.
func (b *bench) last(t *testing.T) simulator.Call {
	t.Helper()
	calls := b.Calls()
	if len(calls) == 0 {
		t.Fatal("no call has arrived")
	}
	return calls[len(calls)-1]
}

// await waits for a fact about the counts.
func (b *bench) await(t *testing.T, until func(simulator.Stats) bool) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), 10*time.Second)
	defer cancel()
	if err := b.Wait(ctx, until); err != nil {
		t.Fatalf("wait: %v, counts %+v", err, b.Stats())
	}
}

// parse decodes a JSON body.
func parse[T any](t *testing.T, body string) T {
	t.Helper()
	var value T
	if err := json.Unmarshal([]byte(body), &value); err != nil {
		t.Fatalf("body %q: %v", body, err)
	}
	return value
}

// whole is the part of a completion that tests check.
type whole struct {
	ID, Model, Provider string
	Choices             []struct {
		FinishReason string `json:"finish_reason"`
		Message      struct {
			Content   string
			Reasoning string
		}
	}
	Usage struct {
		PromptTokens     int `json:"prompt_tokens"`
		CompletionTokens int `json:"completion_tokens"`
		TotalTokens      int `json:"total_tokens"`
		Cost             float64
		Details          struct {
			ReasoningTokens int `json:"reasoning_tokens"`
		} `json:"completion_tokens_details"`
	}
	Error struct {
		Code    int
		Message string
	}
}

// content joins the pieces of a stream.
func content(t *testing.T, stream string) string {
	t.Helper()
	var b strings.Builder
	for line := range strings.Lines(stream) {
		data, isData := strings.CutPrefix(strings.TrimSpace(line), "data: ")
		if !isData || data == "[DONE]" {
			continue
		}
		event := parse[struct {
			Choices []struct{ Delta struct{ Content string } }
		}](t, data)
		for _, choice := range event.Choices {
			b.WriteString(choice.Delta.Content)
		}
	}
	return b.String()
}

func TestEveryFaultIsDocumented(t *testing.T) {
	t.Parallel()
	source, err := os.ReadFile("doc.go")
	if err != nil {
		t.Fatal(err)
	}
	words := make(map[string]bool)
	for _, word := range strings.FieldsFunc(string(source), func(r rune) bool { return strings.ContainsRune(" \n\t,;:()/|", r) }) {
		words[word] = true
	}
	for _, fault := range simulator.Faults() {
		if !words[fault.Name] {
			t.Errorf("fault %s is not in doc.go", fault.Name)
		}
		if fault.About == "" {
			t.Errorf("fault %s has no description", fault.Name)
		}
		for _, p := range fault.Params {
			if !strings.Contains(string(source), " "+p.Name+"=") {
				t.Errorf("parameter %s of fault %s is not in doc.go", p.Name, fault.Name)
			}
		}
	}
	for _, p := range simulator.CommonParams() {
		if !strings.Contains(string(source), "\t"+p.Name+"=") {
			t.Errorf("parameter %s is not in doc.go", p.Name)
		}
	}
}
