package inprocess_test

import (
	"encoding/json"
	"os"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// oldBody is what the backends of the RabbitMQ worker send: every default spelt
// out, nulls, a timestamp without zone, an upper-case id.
const oldBody = `{"request_id": "%ID%", "prompt": "Why is the sky blue?", "model": "gemini-2.5-flash", ` +
	`"parameters": {"temperature": 0, "top_p": 0.95, "top_k": 40, "max_output_tokens": 8192, "candidate_count": 1, "stop_sequences": null}, ` +
	`"system_instruction": null, "callback_queue": "gemini.responses", "timestamp": "2025-12-08T10:11:12.123456", "retry_count": 0, ` +
	`"metadata": {"user":  7, "html": "<b>&</b>", "unicode": "\u00e4 ä", "big": 12345678901234567890, "float": 1.0}}`

const oldMetadata = `{"user":  7, "html": "<b>&</b>", "unicode": "\u00e4 ä", "big": 12345678901234567890, "float": 1.0}`

func TestOldBackendsBody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	id := strings.ToUpper(servicetest.NewID())
	b.Publish([]byte(strings.Replace(oldBody, "%ID%", id, 1)), nil)
	got := b.Result(id)
	b.Idle()

	t.Run("what OpenRouter is asked", func(t *testing.T) {
		t.Parallel()
		calls := b.openrouter.Calls()
		if len(calls) != 1 {
			t.Fatalf("calls: got %d, want 1", len(calls))
		}
		want := `{"max_tokens":8192,"messages":[{"role":"user","content":"Why is the sky blue?"}],"model":"google/gemini-2.5-flash","stream":true,"temperature":0,"top_k":40,"top_p":0.95}`
		if string(calls[0].Body) != want {
			t.Errorf("body sent to OpenRouter:\n got %s\nwant %s", calls[0].Body, want)
		}
		if auth := calls[0].Header.Get("Authorization"); auth != "Bearer "+servicetest.Key {
			t.Errorf("Authorization: got %q", auth)
		}
	})
	t.Run("what the backend reads", func(t *testing.T) {
		t.Parallel()
		checkOldReader(t, got, id)
	})
	t.Run("one result", func(t *testing.T) {
		t.Parallel()
		if n := len(b.Results()); n != 1 {
			t.Errorf("results: got %d, want 1", n)
		}
	})
}

// checkOldReader reads a result with the strict types of the old backends.
func checkOldReader(t *testing.T, got servicetest.Stored, id string) {
	t.Helper()
	if want := "gemini.responses.completed." + strings.ToLower(id); got.Subject != want {
		t.Errorf("subject: got %s, want %s", got.Subject, want)
	}
	var old struct {
		RequestID string          `json:"request_id"`
		Status    string          `json:"status"`
		Content   *string         `json:"content"`
		Error     *string         `json:"error"`
		Usage     map[string]*int `json:"usage"`
		Timestamp string          `json:"timestamp"`
		TimeMS    *float64        `json:"processing_time_ms"`
		ModelUsed *string         `json:"model_used"`
		Metadata  json.RawMessage `json:"metadata"`
	}
	if err := json.Unmarshal(got.Body, &old); err != nil {
		t.Fatalf("the old backend cannot read %s: %v", got.Body, err)
	}
	if old.RequestID != id {
		t.Errorf("request_id: got %s, want %s as it was sent", old.RequestID, id)
	}
	if old.Status != "success" || old.Content == nil || *old.Content == "" || old.Error != nil {
		t.Errorf("status %q, content %v, error %v: want success, an answer, null", old.Status, old.Content, old.Error)
	}
	for _, name := range []string{"prompt_tokens", "completion_tokens", "total_tokens"} {
		if n := old.Usage[name]; n == nil || *n <= 0 {
			t.Errorf("usage.%s: got %v, want a number above 0", name, n)
		}
	}
	if !strings.HasSuffix(old.Timestamp, "Z") {
		t.Errorf("timestamp: got %s, want UTC with Z", old.Timestamp)
	}
	if old.TimeMS == nil || *old.TimeMS < 0 {
		t.Errorf("processing_time_ms: got %v", old.TimeMS)
	}
	if old.ModelUsed == nil || *old.ModelUsed != "google/gemini-2.5-flash" {
		t.Errorf("model_used: got %v", old.ModelUsed)
	}
	if string(old.Metadata) != oldMetadata {
		t.Errorf("metadata, byte for byte:\n got %s\nwant %s", old.Metadata, oldMetadata)
	}
}

func TestResultHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	id := servicetest.NewID()
	const parent, state = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01", "vendor=value"
	b.Publish(servicetest.Body(id, "hello", nil), nats.Header{"traceparent": {parent}, "tracestate": {state}})
	h := b.Result(id).Header
	if got := h["traceparent"]; len(got) != 1 || !strings.Contains(got[0], "0af7651916cd43dd8448eb211c80319c") {
		t.Errorf("traceparent (lower case): got %v, want the trace of %s", got, parent)
	}
	if got := h["tracestate"]; len(got) != 1 || got[0] != state {
		t.Errorf("tracestate: got %v, want %s", got, state)
	}
	for name, want := range map[string]string{
		"ce-specversion": "1.0", "ce-type": "gemini.request.completed.v1", "ce-subject": id, "ce-datacontenttype": "application/json",
	} {
		if got := h.Get(name); got != want {
			t.Errorf("%s: got %q, want %q", name, got, want)
		}
	}
	if got := h.Get("Nats-Msg-Id"); !strings.HasPrefix(got, id+"/") || len(got) != len(id)+37 {
		t.Errorf("Nats-Msg-Id: got %q, want %s/<uuid>", got, id)
	}
}

// The fallback takes another reasoning, so it is not in the list that OpenRouter gets.
func TestMessagesAndExtraFields(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.FallbackModels = []string{"google/gemini-3.5-flash-lite"} })
	b.start()
	id := servicetest.NewID()
	b.Publish([]byte(`{"request_id":"`+id+`","messages":[{"role":"user","content":"one"},{"role":"assistant","content":"two"},{"role":"user","content":"three"}],`+
		`"system_instruction":"be brief","openrouter":{"reasoning":{"max_tokens":100},"provider":{"require_parameters":true}}}`), nil)
	if got := b.Result(id); got.Result.Status != events.StatusSuccess {
		t.Fatalf("result: %s", got.Body)
	}
	want := `{"max_tokens":8192,"messages":[{"role":"system","content":"be brief"},{"role":"user","content":"one"},{"role":"assistant","content":"two"},{"role":"user","content":"three"}],` +
		`"model":"google/gemini-2.5-flash","provider":{"require_parameters":true},"reasoning":{"max_tokens":100},"stream":true,"temperature":0.7,"top_p":0.95}`
	if got := string(b.openrouter.Calls()[0].Body); got != want {
		t.Errorf("body sent to OpenRouter:\n got %s\nwant %s", got, want)
	}
}

func TestGoldenBodiesAreAnswered(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.PluginsAllow = []string{"web", "file-parser"} })
	b.start()
	files, err := os.ReadDir("../../../events/testdata")
	if err != nil {
		t.Fatal(err)
	}
	asked := 0
	for _, file := range files {
		if !strings.HasPrefix(file.Name(), "request") || !strings.HasSuffix(file.Name(), ".json") {
			continue
		}
		body, err := os.ReadFile("../../../events/testdata/" + file.Name())
		if err != nil {
			t.Fatal(err)
		}
		var request struct {
			ID       string `json:"request_id"`
			Deadline string `json:"deadline"`
			BodyRef  struct {
				Name string `json:"name"`
			} `json:"body_ref"`
		}
		if err := json.Unmarshal(body, &request); err != nil {
			t.Fatalf("%s: %v", file.Name(), err)
		}
		if request.BodyRef.Name != "" {
			b.put(request.BodyRef.Name, `{"prompt":"Hello"}`)
		}
		b.Publish(body, nil)
		got := b.Result(request.ID)
		if request.Deadline == "" && got.Result.Status != events.StatusSuccess {
			t.Errorf("%s: %s", file.Name(), got.Body)
		}
		asked++
	}
	if asked == 0 {
		t.Error("no golden request was found")
	}
}
