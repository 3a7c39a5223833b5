package inprocess_test

import (
	"bufio"
	"fmt"
	"net"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// publishRaw publishes headers as they are, as clients that check nothing do. The
// lines end with \r\n.
func (b *bench) publishRaw(lines string, body []byte) {
	b.t.Helper()
	var dialer net.Dialer
	c, err := dialer.DialContext(b.Context(), "tcp", strings.TrimPrefix(b.nats.URL, "nats://"))
	if err != nil {
		b.t.Fatal(err)
	}
	defer c.Close()
	headers := "NATS/1.0\r\n" + lines + "\r\n"
	fmt.Fprintf(c, "CONNECT {\"verbose\":false,\"headers\":true,\"no_responders\":true}\r\nHPUB %s %d %d\r\n%s%s\r\nPING\r\n",
		b.Names.RequestQueue, len(headers), len(headers)+len(body), headers, body)
	for answers := bufio.NewScanner(c); answers.Scan(); {
		switch text := answers.Text(); {
		case text == "PONG":
			return
		case strings.HasPrefix(text, "-ERR"):
			b.t.Fatalf("the server says: %s", text)
		}
	}
	b.t.Fatal("the server hung up")
}

// hostile are headers that a request may have, in the stream of the requests, and
// that no copy can carry as they are.
func hostile() map[string]string {
	one := func(n int) string { return "X: " + strings.Repeat("x", n) + "\r\n" }
	return map[string]string{
		"one header":                        one(65_500),
		"no room for what a schedule fires": one(65_372),
		"many small headers":                "gemini-retry-count: 0\r\n" + strings.Repeat("a:b\r\n", 13_000),
		"many names": func() string {
			var lines strings.Builder
			for i := range 7_000 {
				fmt.Fprintf(&lines, "x%d:y\r\n", i)
			}
			return lines.String()
		}(),
		"many headers of NATS": func() string {
			var lines strings.Builder
			for i := range 5_000 {
				fmt.Fprintf(&lines, "Nats-%d:y\r\n", i)
			}
			return lines.String()
		}(),
		"a name with a space":   "Mine: kept\r\nnot a name: x\r\n",
		"a name in UTF-8":       "Mine: kept\r\nschlüssel: x\r\n",
		"a line without a name": ": x\r\n",
		"no header at all":      "nonsense\r\n",
		"our own, hostile":      "Gemini-Retry-Count: " + strings.Repeat("9", 30_000) + "\r\nGemini-Headers-Dropped: " + strings.Repeat("x", 35_000) + "\r\n",
		"a large trace state":   "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=" + strings.Repeat("x", 65_300) + "\r\n",
	}
}

// Whatever headers a request has, it is put back and answered, and one without an id
// is kept. Both slots are free for a neighbour.
func TestHostileHeaders(t *testing.T) {
	t.Parallel()
	for name, lines := range hostile() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, quick, func(c *config.Config) { c.Concurrency, c.RetryDelays = 2, []int{1} })
			b.start()
			for range 2 {
				b.publishRaw(lines, []byte(`{"prompt":"no id"}`))
			}
			later, dead := servicetest.NewID(), servicetest.NewID()
			b.publishRaw(lines, servicetest.Body(later, "[sim:503 times=3]", nil))
			b.publishRaw(lines, servicetest.Body(dead, "[sim:model_deprecated]", nil))
			b.Result(b.Ask("a neighbour", nil))
			if got := b.Result(later); got.Result.Status != events.StatusSuccess || got.Result.RetryCount != 1 {
				t.Errorf("rescheduled: %s", got.Body)
			}
			if got := b.Result(dead); got.Result.Status != events.StatusError || *got.Result.ErrorCode != events.ModelUnavailable {
				t.Errorf("failed: %s", got.Body)
			}
			b.Idle()
			letters := b.Stored(b.Names.DeadlettersStream())
			if len(letters) != 3 {
				t.Fatalf("dead letters: got %d, want 3", len(letters))
			}
			for _, letter := range letters {
				if strings.Contains(lines, "Mine:") && letter.Header.Get("Mine") != "kept" {
					t.Errorf("a header that can be carried was dropped: %v", letter.Header)
				}
				if !strings.HasPrefix(lines, "nonsense") && !strings.HasPrefix(lines, ":") && !noted(letter.Header) {
					t.Errorf("no note of what was dropped: %.2000v", letter.Header)
				}
			}
		})
	}
}

// noted reports whether a copy says what it could not carry.
func noted(h nats.Header) bool { return len(h[events.HeaderDropped]) > 0 }

// A result carries the trace, and what the requester added to it as far as there is
// room: it is neither lost nor shortened for baggage.
func TestLargeTraceOfAResult(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	const parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
	var state []string
	for i := range 32 {
		state = append(state, fmt.Sprintf("k%d=%s", i, strings.Repeat("x", 250)))
	}
	var baggage []string
	for i := range 60 {
		baggage = append(baggage, fmt.Sprintf("k%d=%s", i, strings.Repeat("x", 120)))
	}
	heavy := nats.Header{"traceparent": {parent}, "tracestate": {strings.Join(state, ",")}, "baggage": {strings.Join(baggage, ",")}}
	id, near := servicetest.NewID(), servicetest.NewID()
	b.Publish(servicetest.Body(id, "hello", nil), heavy)
	got := b.Result(id)
	if kept := got.Header.Get("tracestate"); len(kept) == 0 || len(kept) > 512 || !strings.HasPrefix(got.Header.Get("traceparent"), parent[:35]) || got.Header.Get("baggage") == "" {
		t.Errorf("headers: %v", got.Header)
	}
	metadata := strings.Repeat("x", int(b.NC.MaxPayload())-16<<10-len(strings.Join(state, ",")+strings.Join(baggage, ","))-1000)
	b.Publish(servicetest.Body(near, "[sim:huge bytes=30000]", map[string]any{"metadata": map[string]any{"m": metadata}}), heavy)
	if got := b.Result(near); got.Result.Status != events.StatusSuccess || !noted(got.Header) || !strings.HasPrefix(got.Header.Get("traceparent"), parent[:35]) {
		t.Errorf("near max_payload: %v %.300s", got.Header, got.Body)
	}
}
