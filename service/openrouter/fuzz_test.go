package openrouter_test

import (
	"context"
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gemini-client/service/openrouter"
)

// FuzzStream gives the client any body: it must answer with a completion or an *Error, without panic, within its limits.
func FuzzStream(f *testing.F) {
	files, err := filepath.Glob("testdata/*.*")
	if err != nil || len(files) == 0 {
		f.Fatalf("no seeds: %v", err)
	}
	for _, name := range files {
		seed, err := os.ReadFile(name)
		if err != nil {
			f.Fatal(err)
		}
		f.Add(seed, 200)
		f.Add(seed, 500)
	}
	f.Add([]byte(data(delta(`"tool_calls":[{"index":-1},{"id":"x"},{"index":9e9}],"reasoning_details":[{}]`, ""), `{"choices":[{"error":{"availability":{}}}]}`)), 200)
	f.Add([]byte("data\nid\ndata: \n\n:\n\r\n\r\ufeff{"), 200)
	f.Add([]byte(`{"error":{"message":"Provider returned error","metadata":{"raw":"[[[\"[1]\"]]]"}}}`), 502)
	const maxAnswer, maxLine, roomStep = 4 << 10, 2 << 10, 16 << 10
	f.Fuzz(func(t *testing.T, body []byte, status int) {
		if status < 200 || status > 599 {
			status = 200
		}
		canned := reply{status: status, steps: text(string(body)).steps}
		client := newClient(t, openrouter.Config{Transport: canned.transport(t), MaxAnswerBytes: maxAnswer, MaxLineBytes: maxLine})
		var pieces strings.Builder
		room := 0
		ctx := openrouter.WithRoom(t.Context(), func(_ context.Context, bytes int) error { room += bytes; return nil })
		got, err := client.Complete(ctx, testKey, new(hello()), func(piece string) { pieces.WriteString(piece) })
		if (got == nil) == (err == nil) {
			t.Fatalf("got %+v, %v", got, err)
		}
		if pieces.Len() > maxAnswer || got != nil && len(got.Content)+len(got.Reasoning)+len(got.Refusal) > 3*maxAnswer {
			t.Errorf("limits do not hold: %d bytes of pieces, got %+v", pieces.Len(), got)
		}
		if room < 0 || room > 4*(maxAnswer+2*maxLine)+roomStep || err != nil && room != 0 {
			t.Errorf("%d bytes of room are taken, error %v", room, err)
		}
		if err == nil {
			if got.Content != pieces.String() {
				t.Errorf("content %q differs from its pieces %q", got.Content, pieces.String())
			}
			return
		}
		e, ok := errors.AsType[*openrouter.Error](err)
		if !ok || e.Kind == "" || e.Message == "" || len([]rune(e.Message)) > 500 || strings.ContainsAny(e.Message, "\n\r\x00\x1b") {
			t.Errorf("unfit error %#v", err)
		}
		if strings.Contains(strings.ToLower(err.Error()), "sk-or-") || e.RetryAfter < 0 {
			t.Errorf("unfit error %+v", e)
		}
		_ = [...]bool{e.KeyLimit(), e.Moderation(), e.ContextLength(), e.InFlightBudget(), e.FreeTierDaily()}
	})
}
