package events_test

import (
	"bytes"
	"encoding/json"
	"errors"
	"testing"
	"unicode/utf8"

	"gemini-client/events"
)

// An object gives a request its words or a sentence that says why not, and what was split
// off comes back the same.
func FuzzWithBody(f *testing.F) {
	for _, object := range []string{
		`{"prompt":"Why is the sky blue?"}`, `{"messages":[{"role":"user","content":"Why?"}]}`, `{"prompt":"a","messages":[]}`,
		`{"prompt":""}`, `{"prompt":null,"other":1}`, `{"prompt":"a"} {}`, `[]`, "{\"prompt\":\"\xff\"}", `{"prompt":"\ud800"}`,
	} {
		f.Add([]byte(object))
	}
	f.Fuzz(func(t *testing.T, object []byte) {
		given := bytes.Clone(object)
		request, err := events.Request{ID: "0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a"}.WithBody(object)
		if !bytes.Equal(given, object) {
			t.Fatalf("WithBody(%q) changed the object", given)
		}
		if err != nil {
			failure, is := errors.AsType[events.Failure](err)
			if !is || failure.Code != events.InvalidRequest || !utf8.ValidString(failure.Message) || len(failure.Message) > 20000 {
				t.Fatalf("WithBody(%q): got error %v, want a Failure with invalid_request", object, err)
			}
			return
		}
		if (request.Prompt == "") == (len(request.Messages) == 0) || len(request.Messages) > 0 && !json.Valid(request.Messages) {
			t.Fatalf("WithBody(%q): got prompt %q and messages %q, want one of them", object, request.Prompt, request.Messages)
		}
		_, again := request.SplitBody()
		same, err := events.Request{ID: request.ID}.WithBody(again)
		if err != nil || same.Prompt != request.Prompt || !bytes.Equal(same.Messages, request.Messages) {
			t.Fatalf("WithBody(%q) split into %q: got %q, %q, %v", object, again, same.Prompt, same.Messages, err)
		}
	})
}
