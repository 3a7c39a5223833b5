package clienttest_test

import (
	"os"
	"path/filepath"
	"testing"

	"gemini-client/events"
	"gemini-client/events/client"
	"gemini-client/events/client/clienttest"
)

// The server is the test's own, also where its author works in a context of the nats CLI.
func TestInADevelopersContext(t *testing.T) {
	file := filepath.Join(t.TempDir(), "prod.json")
	if err := os.WriteFile(file, []byte(`{"url":"nats://127.0.0.1:1","inbox_prefix":"_PROD","jetstream_api_prefix":"prod"}`), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("NATS_CONTEXT", file)
	c, err := client.New(clienttest.Start(t))
	if err != nil {
		t.Fatal(err)
	}
	h, err := c.Submit(t.Context(), events.Request{Prompt: "hello"})
	if err != nil {
		t.Fatal(err)
	}
	if r, err := h.Result(t.Context()); err != nil || r.Status != events.StatusSuccess {
		t.Errorf("%+v, %v", r, err)
	}
}
