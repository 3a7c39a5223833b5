package main

import (
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gemini-client/events"
	"gemini-client/service/servicetest"
)

// large is a prompt that no message of the server can hold.
const large = 2 << 20

// A request whose prompt is an object is shown and replayed as any other; what is shown
// says where its prompt is, and nothing of it.
func TestDeadLetterOfALargeBody(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work()
	store, err := b.JS.ObjectStore(b.Context(), b.Names.BodiesBucket())
	if err != nil {
		t.Fatal(err)
	}
	id := servicetest.NewID()
	info, err := store.PutString(b.Context(), id, `{"prompt":"`+heals+strings.Repeat(" long", large/5)+`"}`)
	if err != nil {
		t.Fatal(err)
	}
	b.Publish(fmt.Appendf(nil, `{"request_id":%q,"body_ref":{"bucket":%q,"name":%q,"size":%d,"digest":%q}}`, id, info.Bucket, info.Name, info.Size, info.Digest), nil)
	b.Result(id)
	b.Idle()
	out := b.expect([]string{"deadletters", "show", id}, "2.0 MiB in the object store: nats object get GEMINI_BODIES "+id, "model_unavailable")
	if strings.Contains(out, "mango") {
		t.Errorf("a prompt shows:\n%s", out)
	}
	b.expect([]string{"deadletters", "show", "--body", id}, `"body_ref"`)
	b.expect([]string{"deadletters", "replay", id}, "1 replayed, 0 skipped, 0 cannot")
	if got := b.results(id, 2)[1]; got.Result.Status != events.StatusSuccess {
		t.Errorf("result: %s", got.Body)
	}
	b.Until("the prompt is deleted", func() (string, bool) {
		_, err := store.GetInfo(b.Context(), id)
		return "", err != nil
	})
}

// ask and batch run take a prompt that no message can hold, and write an answer that none
// can.
func TestLargePrompts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.work()
	prompt := fmt.Sprintf("[sim:huge bytes=%d]", large) + strings.Repeat("p", large)
	in, out := filepath.Join(t.TempDir(), "in.jsonl"), filepath.Join(t.TempDir(), "out.jsonl")
	if err := os.WriteFile(in, []byte(`{"prompt":"`+prompt+"\"}\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	b.command(0, "batch", "run", in, "-o", out)
	if line, err := os.ReadFile(out); err != nil || len(line) < large || strings.Contains(string(line), "result_ref") {
		t.Errorf("%d bytes, %v", len(line), err)
	}
}
