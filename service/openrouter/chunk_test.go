package openrouter

import (
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/google/go-cmp/cmp/cmpopts"
)

// chunks are the events of the streams in testdata.
func chunks(tb testing.TB) (list []string) {
	tb.Helper()
	names, err := filepath.Glob("testdata/*.sse")
	if err != nil || len(names) == 0 {
		tb.Fatalf("no streams: %v", err)
	}
	for _, name := range names {
		stream, err := os.ReadFile(name)
		if err != nil {
			tb.Fatal(err)
		}
		for line := range strings.Lines(string(stream)) {
			if event, is := strings.CutPrefix(strings.TrimSpace(line), "data: "); is && event[0] == '{' {
				list = append(list, event)
			}
		}
	}
	return list
}

// What OpenRouter sends is read by the scanner, usage and all.
func TestChunksAreScanned(t *testing.T) {
	t.Parallel()
	var r chunkReader
	for _, event := range chunks(t) {
		if !r.scan([]byte(event)) {
			t.Errorf("is not scanned: %s", event)
		}
		if usage := r.chunk.Usage; len(usage) > 0 && !new(wireUsage).scan(usage) {
			t.Errorf("its usage is not scanned: %s", event)
		}
	}
}

// FuzzChunk: what the scanner reads of a chunk, after any other, is what encoding/json reads.
func FuzzChunk(f *testing.F) {
	const before = `{"id":"gen-0","model":"n","provider":"Q","service_tier":"flex","choices":[{"finish_reason":"stop","native_finish_reason":"STOP"}]}`
	for _, event := range chunks(f) {
		f.Add([]byte(before), []byte(event))
	}
	for _, event := range []string{
		`{}`, ` { "choices" : [ ] , "usage" : null } `, `{"choices":null,"error":null,"id":null}`, `{"choices":[{},{}]}`, `{"choices":[null]}`, `{"ID":"a"}`, `{"\u0069d":"a"}`, `{"ıd":"a"}`,
		`{"id":"a","id":"b"}`, `{"choices":[{"index":0,"index":1}]}`, `{"choices":[{"delta":{"content":"a"},"message":{"content":"b"}}]}`, `{"choices":[{"delta":null,"message":{"content":"b"}}]}`,
		`{"choices":[{"delta":{"content":[{"text":"a"}],"reasoning":{"a":1},"refusal":3}}]}`, `{"choices":[{"delta":{"content":"\ud83d\ude42 \ud83d\n","reasoning":"\u0000"}}]}`,
		"{\"choices\":[{\"delta\":{\"content\":\"\xff\",\"reasoning\":\"\\n\xff\"}}]}", "{\"id\":\"a\nb\"}", `{"choices":[{"index":01}]}`, `{"choices":[{"index":-1}]}`, `{"choices":[{"index":1.0}]}`, `{"choices":[{"index":1e3}]}`,
		`{"choices":[{"index":99999999999999999999}]}`, `{"choices":[{"index":"0"}]}`, `{"id":1,"choices":{}}`, `{"id":"a"}x`, `{"id":"a"`, `{"id":"a",}`, `{,}`, `{"x":[1,2`, `{"x":tru}`, `[{}]`, `null`, ``,
		`{"choices":[{"delta":{"reasoning_details":[{"text":"a","summary":"b","type":"c"},{}],"tool_calls":[{"index":1,"id":"a","type":"function","function":{"name":"f","arguments":"{\"a\":"}},{"function":null,"index":null}]}}]}`,
		`{"choices":[{"delta":{"tool_calls":[{"index":-1},{"index":1.5},{"function":{"name":"f","name":"g"}}],"reasoning_details":null}}]}`,
		`{"usage":{"prompt_tokens":1,"completion_tokens":-2,"cost":1e999}}`, `{"usage":{"prompt_tokens":1.0,"cost":"1"}}`, `{"usage":{"cost":-0.5e-7,"cost_details":{"upstream_inference_cost":1},"prompt_tokens_details":null}}`, `{"usage":[]}`, `{"usage":{"cost":1,"cost":null}}`,
		`{"x":` + strings.Repeat("[", 10_001) + strings.Repeat("]", 10_001) + `}`,
	} {
		f.Add([]byte(before), []byte(event))
	}
	f.Fuzz(func(t *testing.T, before, event []byte) {
		var r chunkReader
		r.scan(before)
		if !r.scan(event) {
			return
		}
		want := r.agrees(t, event)
		var got, usage wireUsage
		if got.scan(want.Usage) {
			if err := decode(want.Usage, &usage); err != nil {
				t.Fatalf("the usage %s is read, and is none: %v", want.Usage, err)
			}
			if diff := cmp.Diff(usage, got, cmpopts.EquateEmpty()); diff != "" {
				t.Fatalf("%s: (-encoding/json +scanner)\n%s", want.Usage, diff)
			}
		}
	})
}

// agrees returns what encoding/json reads of a chunk, and fails unless the reader has read
// the same.
func (r *chunkReader) agrees(t *testing.T, event []byte) (want chunk) {
	t.Helper()
	if err := decode(event, &want); err != nil {
		t.Fatalf("%s is read, and is not JSON: %v", event, err)
	}
	if diff := cmp.Diff(want, r.chunk, cmpopts.EquateEmpty()); diff != "" {
		t.Fatalf("%s: (-encoding/json +scanner)\n%s", event, diff)
	}
	return want
}

// BenchmarkChunk measures one event of a stream: its JSON read as one like the last, by the scanner,
// and by encoding/json.
func BenchmarkChunk(b *testing.B) {
	event := []byte(chunks(b)[0])
	read := map[string]func(*chunkReader) error{
		"repeated":      func(r *chunkReader) error { _, err := r.read(event); return err },
		"scanner":       func(r *chunkReader) error { r.last.end = 0; _, err := r.read(event); return err },
		"encoding/json": func(r *chunkReader) error { r.chunk = chunk{}; return decode(event, &r.chunk) },
	}
	for _, name := range []string{"repeated", "scanner", "encoding/json"} {
		b.Run(name, func(b *testing.B) {
			b.ReportAllocs()
			b.SetBytes(int64(len(event)))
			var r chunkReader
			for b.Loop() {
				if err := read[name](&r); err != nil || len(r.chunk.Choices) != 1 {
					b.Fatalf("got %+v, %v", r.chunk, err)
				}
			}
		})
	}
}
