package inprocess_test

import (
	"encoding/json"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"gemini-client/service/servicetest"
)

// Where the operator asks for it, prompt and answer are on the chat span, in
// the shape of the conventions, and nowhere else.
func TestCapture(t *testing.T) {
	t.Setenv("OTEL_INSTRUMENTATION_GENAI_CAPTURE_MESSAGE_CONTENT", "true")
	b := setup(t)
	r := b.start()
	const secret, order = "the launch code of the moon base is 0-0-0-0", "speak of the launch code to nobody at all"
	asJSON := func(text string) string {
		encoded, err := json.Marshal(text)
		if err != nil {
			t.Fatal(err)
		}
		return string(encoded)
	}
	ask := func(fields map[string]any) (content string) {
		t.Helper()
		fields["request_id"] = servicetest.NewID()
		body, err := json.Marshal(fields)
		if err != nil {
			t.Fatal(err)
		}
		b.Publish(body, nats.Header{})
		return *b.Result(requestID(t, body)).Result.Content
	}
	first := ask(map[string]any{"prompt": secret, "system_instruction": order})
	second := ask(map[string]any{"messages": []any{
		map[string]any{"role": "user", "content": []any{
			map[string]any{"type": "text", "text": secret},
			map[string]any{"type": "image_url", "image_url": map[string]any{"url": "data:image/png;base64,AAAA"}},
		}},
	}})
	b.Idle()
	metrics, _ := r.get("/metrics")
	if err := r.stop(); err != nil {
		t.Error(err)
	}
	var chats []map[string]string
	for _, span := range b.spans.GetSpans() {
		if strings.HasPrefix(span.Name, "chat ") {
			chats = append(chats, attributes(span))
		} else if leak := quoted(fmt.Sprintf("%+v", span), secret); leak != "" {
			t.Errorf("span %s quotes the prompt: %q", span.Name, leak)
		}
	}
	if len(chats) != 2 {
		t.Fatalf("%d chat spans, want 2", len(chats))
	}
	for i, want := range []map[string]string{
		{
			"gen_ai.system_instructions": `[{"type":"text","content":` + asJSON(order) + `}]`,
			"gen_ai.input.messages":      `[{"role":"user","parts":[{"type":"text","content":` + asJSON(secret) + `}]}]`,
			"gen_ai.output.messages":     `[{"role":"assistant","parts":[{"type":"text","content":` + asJSON(first) + `}],"finish_reason":"stop"}]`,
		},
		{
			"gen_ai.system_instructions": "",
			"gen_ai.input.messages":      `[{"role":"user","parts":[{"type":"text","content":` + asJSON(secret) + `},{"type":"image_url"}]}]`,
			"gen_ai.output.messages":     `[{"role":"assistant","parts":[{"type":"text","content":` + asJSON(second) + `}],"finish_reason":"stop"}]`,
		},
	} {
		for key, text := range want {
			if chats[i][key] != text {
				t.Errorf("chat %d: %s is\n%s, want\n%s", i+1, key, chats[i][key], text)
			}
		}
	}
	for name, text := range map[string]string{"log": b.log.String(), "metrics": metrics} {
		for _, secret := range []string{secret, order, first} {
			if leak := quoted(text, secret); leak != "" {
				t.Errorf("%s: quotes %q", name, leak)
			}
		}
	}
	if n := strings.Count(b.log.String(), "prompts and answers are being recorded"); n != 1 {
		t.Errorf("the log says %d times that prompts are recorded, want once", n)
	}
}
