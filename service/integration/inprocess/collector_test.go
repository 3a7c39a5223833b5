package inprocess_test

import (
	"fmt"
	"net/http"
	"net/http/httptest"
	"regexp"
	"sync"
	"testing"

	"gemini-client/events"
)

// A collector that is dead or hangs costs nothing but its spans, which are
// counted: every request is answered as ever (promise 8).
func TestCollectorInTrouble(t *testing.T) {
	release := make(chan struct{})
	hanging := httptest.NewServer(http.HandlerFunc(func(http.ResponseWriter, *http.Request) { <-release }))
	let := sync.OnceFunc(func() { close(release) })
	t.Cleanup(func() { let(); hanging.Close() })
	dead := httptest.NewServer(http.NotFoundHandler())
	dead.Close()
	t.Setenv("OTEL_BSP_SCHEDULE_DELAY", "10")
	t.Setenv("OTEL_BSP_MAX_QUEUE_SIZE", "20")
	t.Run("it refuses", func(t *testing.T) {
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", dead.URL)
		wantAnswers(t, setup(t), "export_failed")
	})
	t.Run("it accepts and never answers", func(t *testing.T) {
		t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", hanging.URL)
		wantAnswers(t, setup(t), "queue_full")
		let() // before the bench flushes
	})
}

// wantAnswers asks until spans are lost for a reason, and then some more.
func wantAnswers(t *testing.T, b *bench, reason string) {
	t.Helper()
	r := b.start()
	lost := regexp.MustCompile(`gemini_spans_lost_total\{reason="` + reason + `"\} [1-9]`)
	asked := 0
	ask := func() {
		t.Helper()
		asked++
		id := b.Ask(fmt.Sprint("question ", asked), nil)
		if got := b.Result(id); got.Subject != events.Completed("gemini.responses", id) {
			t.Fatalf("result: %s", got.Body)
		}
	}
	b.Until("spans are lost", func() (string, bool) {
		ask()
		text, _ := r.get("/metrics")
		return text, lost.MatchString(text)
	})
	for range 20 {
		ask()
	}
	b.Idle()
	if err := r.stop(); err != nil {
		t.Errorf("the service ended with %v", err)
	}
	if got := len(b.spans.GetSpans()); got < 4*asked {
		t.Errorf("another exporter got %d spans of %d requests, want them all", got, asked)
	}
}
