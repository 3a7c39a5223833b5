//go:build integration

package integration

import (
	"bytes"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gemini-client/service/servicetest"
)

// bombUpstream answers a call with what its prompt names, if that is a bomb. Unlike
// the simulator it keeps nothing of a request.
type bombUpstream struct{ url string }

func newBombUpstream(t *testing.T) bombUpstream {
	t.Helper()
	server := httptest.NewServer(http.HandlerFunc(answerBomb))
	t.Cleanup(func() {
		server.CloseClientConnections()
		server.Close()
	})
	return bombUpstream{server.URL + "/api/v1"}
}

// event is one of a stream, with a delta.
func event(delta, finish string) string {
	return fmt.Sprintf("data: {\"id\":\"gen-1\",\"model\":\"google/gemini-2.5-flash\",\"choices\":[{\"index\":0,\"delta\":{%s}%s}]}\n\n", delta, finish)
}

// answerBombs are what a question may have the upstream send. What is taken for an
// outage is not among them: it delays neighbours, as it should.
func answerBombs() map[string]func(w http.ResponseWriter) {
	const long = 3 << 20 // below what a line may be long
	text := strings.Repeat("x", long)
	return map[string]func(w http.ResponseWriter){
		"endless answer":   repeat(event(`"content":"`+text[:1000]+`"`, "")),
		"endless line":     repeat("data: " + text),
		"empty tool calls": once(event(`"tool_calls":[`+strings.Repeat("{},", long/3)+`{}]`, `,"finish_reason":"tool_calls"`)),
		"document":         once(`{"choices":[{"message":{"content":"` + strings.Repeat(text, 5) + `"},"finish_reason":"stop"}]}`),
		"gzip":             repeat("\x1f\x8b\x08\x00" + text[:1000]),
	}
}

// answerRequests are requests that get these answers.
func answerRequests() (kinds []servicetest.Bomb) {
	for name := range answerBombs() {
		kinds = append(kinds, servicetest.Bomb{Name: name, Body: func(id string) []byte { return servicetest.Body(id, "<<"+name+">>", nil) }})
	}
	return kinds
}

func repeat(text string) func(w http.ResponseWriter) {
	return func(w http.ResponseWriter) {
		for _, err := io.WriteString(w, text); err == nil; {
			_, err = io.WriteString(w, text)
		}
	}
}

func once(text string) func(w http.ResponseWriter) {
	return func(w http.ResponseWriter) { _, _ = io.WriteString(w, text) }
}

func answerBomb(w http.ResponseWriter, r *http.Request) {
	head := make([]byte, 4<<10)
	n, _ := io.ReadFull(r.Body, head)
	_, _ = io.Copy(io.Discard, r.Body)
	if _, rest, found := bytes.Cut(head[:n], []byte(`\u003c\u003c`)); found {
		name, _, _ := bytes.Cut(rest, []byte(`\u003e`))
		answerBombs()[string(name)](w)
		return
	}
	timer := time.NewTimer(200 * time.Millisecond)
	defer timer.Stop()
	select {
	case <-timer.C:
	case <-r.Context().Done():
		return
	}
	w.Header().Set("Content-Type", "text/event-stream")
	_, _ = io.WriteString(w, event(`"content":"answered"`, `,"finish_reason":"stop"`)+"data: [DONE]\n\n")
}
