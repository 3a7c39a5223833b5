package openrouter

import (
	"fmt"
	"slices"
	"testing"
)

// A chunk that differs from the one before in its content alone is not read in full, and
// gives what encoding/json gives.
func TestRepeatedChunks(t *testing.T) {
	t.Parallel()
	const form = `{"id":"a","choices":[{"index":0,"delta":{"role":"assistant","content":%s},"finish_reason":null}]}`
	like := func(content string) string { return fmt.Sprintf(form, content) }
	for name, tt := range map[string]struct {
		before, event string
		repeated      bool
	}{
		"another text":         {like(`"one"`), like(`"another"`), true},
		"no text":              {like(`"one"`), like(`""`), true},
		"null":                 {like(`"one"`), like(`null`), true},
		"spaces":               {like(`"one"`), like(` "one"`), true},
		"after null":           {like(`null`), like(`"one"`), true},
		"escapes":              {like(`"\n"`), like(`"\"\u00e9\\"`), true},
		"another letter":       {like(`"one"`), like(`"é"`), true},
		"parts":                {like(`"one"`), like(`[{"text":"one"}]`), false},
		"more fields":          {like(`"one"`), like(`"one","refusal":"no"`), false},
		"a second content":     {like(`"one"`), like(`"one","content":"two"`), false},
		"another id":           {like(`"one"`), `{"id":"b","choices":[{"index":0,"delta":{"role":"assistant","content":"one"},"finish_reason":null}]}`, false},
		"after a refusal":      {like(`"one","refusal":"no"`), like(`"two","refusal":"no"`), false},
		"after reasoning":      {like(`"one","reasoning":"so"`), like(`"two","reasoning":"so"`), false},
		"after usage":          {`{"usage":{},"choices":[{"delta":{"content":"a"}}]}`, `{"usage":{},"choices":[{"delta":{"content":"b"}}]}`, false},
		"after a message":      {`{"choices":[{"message":{"content":"a"}}]}`, `{"choices":[{"message":{"content":"b"}}]}`, false},
		"a content of another": {`{"x":{"content":"a"},"choices":[]}`, `{"x":{"content":"b"},"choices":[]}`, false},
		"the overlap":          {`{"choices":[{"delta":{"content":"}}]}"}}]}`, `{"choices":[{"delta":{"content":"}}]}`, false},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			var r chunkReader
			r.scan([]byte(tt.before))
			if got := r.repeated([]byte(tt.event)); got != tt.repeated {
				t.Errorf("repeated: %v", got)
			}
			r = chunkReader{}
			r.scan([]byte(tt.before))
			if r.scan([]byte(tt.event)) {
				r.agrees(t, []byte(tt.event))
			} else if tt.repeated {
				t.Error("it is not read")
			}
		})
	}
}

// FuzzRepeat: what is read of a chunk that differs from the one before in one place is
// what encoding/json reads.
func FuzzRepeat(f *testing.F) {
	for _, before := range chunks(f) {
		f.Add([]byte(before), []byte(`"another"`))
	}
	for _, content := range []string{`""`, `null`, `"\u00e9"`, `" \" "`, `"`, `"a","refusal":"b"`, `"a"}}]}`, "\"\xff\"", "\"\n\"", ` 1 `} {
		f.Add([]byte(`{"choices":[{"delta":{"content":"a","role":"assistant"}}]}`), []byte(content))
	}
	f.Fuzz(func(t *testing.T, before, content []byte) {
		var r chunkReader
		r.scan(before)
		if r.last.end == 0 {
			return
		}
		event := slices.Concat(before[:r.last.begin], content, before[r.last.end:])
		if !r.repeated(event) {
			return
		}
		r.agrees(t, event)
	})
}
