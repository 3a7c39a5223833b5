package openrouter_test

import (
	"compress/gzip"
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"runtime"
	"slices"
	"strings"
	"testing"
	"testing/synctest"
	"time"

	"gemini-client/service/openrouter"
)

// What an upstream sends may be small on the wire and large in memory. Each ends the call, and takes no more than a few times
// what it may be long.
func TestUpstreamBombs(t *testing.T) { //nolint:paralleltest // it measures the process
	const size, most = 4 << 20, 48 << 20
	fill := func(text string) string { return strings.Repeat(text, size/len(text)) }
	tests := map[string]bomb{
		"choices":      {sends("data: {\"choices\":[" + fill("{},") + "{}]}\n\n"), []openrouter.Kind{openrouter.KindTooLarge}},
		"tool calls":   {sends(data(delta(`"tool_calls":[`+fill("{},")[:size/2]+`{}]`, ""))), []openrouter.Kind{openrouter.KindTooLarge}},
		"details":      {sends(data(delta(`"reasoning_details":[`+fill("0,")[:size/2]+`0]`, ""))), []openrouter.Kind{openrouter.KindTooLarge}},
		"document":     {sends(`{"choices":[` + fill("{},") + `{}]}`), []openrouter.Kind{openrouter.KindTooLarge}},
		"error keys":   {sends(`data: {"error":{"metadata":{"headers":{` + fill(`"a":0,`)[:size/2] + `"b":1}}}}` + "\n\n"), []openrouter.Kind{openrouter.KindTooLarge}},
		"endless line": {endless("data: ", "x"), []openrouter.Kind{openrouter.KindTooLarge}},
		"endless stream": {
			endless("", data(delta(`"content":"`+strings.Repeat("x", 1000)+`"`, ""))),
			[]openrouter.Kind{openrouter.KindTooLarge},
		},
		"endless comments":    {endless("", ": x\n"), []openrouter.Kind{openrouter.KindFirstToken}},
		"endless white space": {endless("", " "), []openrouter.Kind{openrouter.KindFirstToken}},
		"endless error page": {func(w http.ResponseWriter) {
			w.WriteHeader(http.StatusBadGateway)
			endless("<html>", "x")(w)
		}, []openrouter.Kind{openrouter.KindStatus}},
		"headers": {func(w http.ResponseWriter) {
			for i := range 100_000 {
				w.Header().Set(fmt.Sprintf("x%x", i), "")
			}
			sends(data("[DONE]"))(w)
		}, []openrouter.Kind{openrouter.KindConnection}},
		"gzip": {func(w http.ResponseWriter) {
			w.Header().Set("Content-Encoding", "gzip")
			packed := gzip.NewWriter(w)
			endless("data: ", strings.Repeat("x", 1<<16))(writer{packed, w})
		}, []openrouter.Kind{openrouter.KindMalformed, openrouter.KindTooLarge, openrouter.KindCut, openrouter.KindFirstToken}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) { //nolint:paralleltest // it measures the process
			server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
				_, _ = io.Copy(io.Discard, r.Body)
				tt.answer(w)
			}))
			defer server.Close()
			client := newClient(t, openrouter.Config{BaseURL: at(server.URL), FirstToken: tt.patience(), MaxAnswerBytes: size, MaxLineBytes: size + size/2})
			var before, after runtime.MemStats
			runtime.ReadMemStats(&before)
			_, err := client.Complete(t.Context(), "key", new(hello()), nil)
			runtime.ReadMemStats(&after)
			e := asError(t, err)
			ok := slices.Contains(tt.kinds, e.Kind)
			if got := after.TotalAlloc - before.TotalAlloc; !ok || got > most && name != "headers" { // there the server allocates
				t.Errorf("got %v after %d MiB, want one of %v within %d", err, got>>20, tt.kinds, most>>20)
			}
		})
	}
}

// bomb is what an upstream sends, and how the call may end.
type bomb struct {
	answer func(w http.ResponseWriter)
	kinds  []openrouter.Kind
}

// patience is short only for what never brings a token; writing the others takes
// a busy machine a while.
func (b bomb) patience() time.Duration {
	if slices.Contains(b.kinds, openrouter.KindFirstToken) {
		return 2 * time.Second
	}
	return time.Minute
}

func sends(text string) func(http.ResponseWriter) {
	return func(w http.ResponseWriter) { _, _ = io.WriteString(w, text) }
}

// endless sends a text again and again until nobody listens any more.
func endless(first, text string) func(http.ResponseWriter) {
	block := []byte(strings.Repeat(text, max(1, (64<<10)/len(text))))
	return func(w http.ResponseWriter) {
		_, err := io.WriteString(w, first)
		for err == nil {
			_, err = w.Write(block)
		}
	}
}

// writer writes elsewhere than where the header goes.
type writer struct {
	io.Writer
	http.ResponseWriter
}

func (w writer) Write(p []byte) (int, error) { return w.Writer.Write(p) }

// An answer asks for room before it grows, waits for it beyond its time limits, keeps it when it is complete, and gives it back
// when it is not.
func TestRoom(t *testing.T) {
	t.Parallel()
	const size = 1 << 20
	whole := data(delta(`"content":"`+strings.Repeat("x", size)+`"`, ""), delta(`"reasoning":"`+strings.Repeat("y", size)+`"`, ""))
	tests := map[string]struct {
		body      string
		least     int
		completes bool
	}{
		"stream":         {whole + data(delta("", "stop"), "[DONE]"), 4 * size, true}, // the longest line, its event and the answer
		"document":       {`{"choices":[{"message":{"content":"` + strings.Repeat("x", size) + `"},"finish_reason":"stop"}]}`, 3 * size, true},
		"cut":            {whole, 4 * size, false},
		"small":          {data(delta(`"content":"x"`, "stop"), "[DONE]"), 0, true},
		"event in lines": {strings.Repeat("data:  \n", size) + data(delta(`"content":"x"`, "stop")), 2 * size, true},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			synctest.Test(t, func(t *testing.T) {
				taken, most := 0, 0
				ctx := openrouter.WithRoom(t.Context(), func(ctx context.Context, bytes int) error {
					if bytes > 0 {
						<-time.After(time.Minute) // longer than the time limits below
					}
					taken += bytes
					most = max(most, taken)
					return ctx.Err()
				})
				client := newClient(t, openrouter.Config{Transport: text(tt.body).transport(t), FirstToken: time.Second, Gap: time.Second})
				_, err := client.Complete(ctx, testKey, new(hello()), nil)
				if (err == nil) != tt.completes || most < tt.least || most > tt.least+100<<10 {
					t.Errorf("took %d bytes, error %v; want %d or little more, an error %t", most, err, tt.least, !tt.completes)
				}
				if most > 0 && tt.completes != (taken > 0) {
					t.Errorf("%d bytes are taken after it", taken)
				}
			})
		})
	}
}
