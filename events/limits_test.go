package events_test

import (
	"fmt"
	"runtime"
	"strings"
	"testing"

	"gemini-client/events"
)

// many is n times one text, separated by commas.
func many(n int, text string) string { return strings.TrimSuffix(strings.Repeat(text+",", n), ",") }

// keys is the members of an object of n different keys.
func keys(n int) string {
	var b strings.Builder
	for i := range n {
		fmt.Fprintf(&b, `"%x":0,`, i)
	}
	return strings.TrimSuffix(b.String(), ",")
}

func nested(n int) string {
	return strings.Repeat(`{"a":`, n-1) + "{}" + strings.Repeat("}", n-1)
}

// Each limit holds: one more is refused with a text that names field, number and
// limit; the limit itself is not.
func TestLimits(t *testing.T) {
	t.Parallel()
	const user = `{"role":"user","content":[`
	tests := map[string]struct {
		most int
		body func(n int) string
		want string // for one more
	}{
		"messages": {
			events.MaxMessages, func(n int) string { return body(`"messages":[` + many(n, `{"role":"user"}`) + `]`) },
			"messages: has 10001 messages; give at most 10000",
		},
		"parts of one message": {
			events.MaxParts, func(n int) string { return body(`"messages":[` + user + many(n, `{"type":"text"}`) + `]}]`) },
			"messages: has 10001 content parts and tool calls in all its messages; give at most 10000",
		},
		"parts of two messages": {events.MaxParts, func(n int) string {
			return body(`"messages":[` + user + many(n-9000, `{}`) + `]},` + user + many(9000, `{}`) + `]}]`)
		}, "messages: has 10001 content parts and tool calls in all its messages; give at most 10000"},
		"tool calls": {
			events.MaxParts, func(n int) string { return body(`"messages":[{"role":"user","tool_calls":[` + many(n, `{}`) + `]}]`) },
			"messages: has 10001 content parts and tool calls in all its messages; give at most 10000",
		},
		"stop sequences": {
			events.MaxStopSequences, func(n int) string { return asked(`"parameters":{"stop_sequences":[` + many(n, `"."`) + `]}`) },
			"parameters.stop_sequences: has 65 entries; give at most 64",
		},
		"openrouter": {
			events.MaxOpenRouterFields, func(n int) string { return asked(`"openrouter":{` + keys(n) + `}`) },
			"openrouter: has 257 fields; give at most 256",
		},
		"models": {
			events.MaxModels, func(n int) string { return asked(`"openrouter":{"models":[` + many(n, `"google/x"`) + `]}`) },
			"openrouter.models: has 4 entries; give at most 3",
		},
		"plugins": {
			events.MaxListed, func(n int) string { return asked(`"openrouter":{"plugins":[` + many(n, `{"id":"file-parser"}`) + `]}`) },
			"openrouter.plugins: has 1001 entries; give at most 1000",
		},
		"tools": {
			events.MaxListed, func(n int) string { return asked(`"openrouter":{"tools":[` + many(n, `{}`) + `]}`) },
			"openrouter.tools: has 1001 entries; give at most 1000",
		},
		"depth of metadata": {
			events.MaxMetadataDepth, func(n int) string { return asked(`"metadata":` + nested(n)) },
			"metadata: is nested 10000 levels deep; nest at most 9999",
		},
		"depth of openrouter": {
			events.MaxDepth, func(n int) string { return asked(`"openrouter":` + nested(n)) },
			"openrouter: is nested 129 levels deep; nest at most 128",
		},
		"depth of messages": {events.MaxDepth, func(n int) string {
			return body(`"messages":[{"role":"user","content":` + strings.Repeat("[", n-2) + strings.Repeat("]", n-2) + `}]`)
		}, "messages: is nested 129 levels deep; nest at most 128"},
		"keys of openrouter": {
			events.MaxKeys, func(n int) string { return asked(`"openrouter":{"provider":{` + keys(n-1) + `}}`) },
			"openrouter: has 100001 keys in all its objects; give at most 100000",
		},
		"keys of messages": {
			events.MaxKeys, func(n int) string { return body(`"messages":[{"role":"user",` + keys(n-1) + `}]`) },
			"messages: has 100001 keys in all its objects; give at most 100000",
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			decode(t, tt.body(tt.most))
			_, failure := decodeFailure(t, rules(), tt.body(tt.most+1))
			if failure.Code != events.InvalidRequest || failure.Message != tt.want {
				t.Errorf("one too many\n got %v\nwant %q", failure, tt.want)
			}
		})
	}
}

// A body nested so deeply that encoding/json would not read it has a usable id, so
// it is answered, and what no reader can read is not echoed.
func TestDecodeAnyDepth(t *testing.T) {
	t.Parallel()
	request, failure := decodeFailure(t, rules(), asked(`"metadata":`+nested(1<<20)))
	if want := "metadata: is nested 1048576 levels deep; nest at most 9999"; failure.Message != want || request.Metadata != nil {
		t.Errorf("got %q with metadata %.20q\nwant %q without", failure.Message, request.Metadata, want)
	}
	decode(t, asked(`"unknown":`+nested(1<<20))) // nobody reads it
}

// bombs are bodies of size bytes that make a reader build the most from them.
func bombs(size int) map[string]string {
	fill := func(text string) int { return size / (len(text) + 1) }
	var keys strings.Builder
	for i := 0; keys.Len() < size-100; i++ {
		fmt.Fprintf(&keys, `"%x":0,`, i)
	}
	distinct := strings.TrimSuffix(keys.String(), ",")
	part := `{"type":"text","text":"a"}`
	return map[string]string{
		"parts":               body(`"messages":[{"role":"user","content":[` + many(fill(part), part) + `]}]`),
		"numbers as parts":    body(`"messages":[{"role":"user","content":[` + many(fill("0"), "0") + `]}]`),
		"messages":            body(`"messages":[` + many(fill(`{"role":"user"}`), `{"role":"user"}`) + `]`),
		"broken messages":     body(`"messages":[` + many(fill(`0`), `0`) + `]`),
		"openrouter":          asked(`"openrouter":{` + distinct + `}`),
		"openrouter, nested":  asked(`"openrouter":{"provider":{` + distinct + `}}`),
		"openrouter, one key": asked(`"openrouter":{` + many(fill(`"a":0`), `"a":0`) + `}`),
		"tools":               asked(`"openrouter":{"tools":[` + many(fill(`{}`), `{}`) + `]}`),
		"models":              asked(`"openrouter":{"models":[` + many(fill(`""`), `""`) + `]}`),
		"stop sequences":      asked(`"parameters":{"stop_sequences":[` + many(fill(`""`), `""`) + `]}`),
		"parameters":          asked(`"parameters":{` + distinct + `}`),
		"metadata":            asked(`"metadata":{` + distinct + `}`),
		"deep metadata":       asked(`"metadata":{"a":` + strings.Repeat("[", size/2) + strings.Repeat("]", size/2) + `}`),
		"unknown fields":      asked(distinct),
		"unknown, escaped":    asked(many(fill(`"\u0061":0`), `"\u0061":0`)),
		"deep unknown":        asked(`"x":` + strings.Repeat("[", size/2) + strings.Repeat("]", size/2)),
		"huge key":            asked(`"` + strings.Repeat("k", size) + `":0`),
		"huge number":         asked(`"retry_count":` + strings.Repeat("9", size)),
		"prompt":              asked()[:len(asked())-4] + strings.Repeat("p", size) + `"}`,
		"escaped prompt":      asked()[:len(asked())-4] + strings.Repeat(`\u0000`, size/6) + `"}`,
		"no object":           strings.Repeat("[", size),
		"followed by itself":  asked() + strings.Repeat("[", size),
	}
}

// No body makes Decode allocate more than a few times its length. It was 93 times
// for models, 37 for tools, 27 for stop sequences, 24 for openrouter.
func TestDecodeAllocates(t *testing.T) { //nolint:paralleltest // it measures the process
	const size, most = 1 << 20, 6
	r := rules()
	for name, bomb := range bombs(size) {
		sent := []byte(bomb)
		var before, after runtime.MemStats
		runtime.ReadMemStats(&before)
		_, err := r.Decode(sent, now())
		runtime.ReadMemStats(&after)
		if got := float64(after.TotalAlloc-before.TotalAlloc) / size; got > most {
			t.Errorf("%s: Decode allocated %.1f times the body, want at most %d (error %.80v)", name, got, most, err)
		} else {
			t.Logf("%s: %.2f", name, got)
		}
	}
}
