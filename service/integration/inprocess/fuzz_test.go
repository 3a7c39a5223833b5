package inprocess_test

import (
	"bufio"
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// newID stands for an id of its own in each play of an input, so that each is a new
// request.
const newID = "00000000-0000-0000-0000-000000000000"

// FuzzMessage sends whole messages, the bytes of their headers included, past
// every client library to a running service, and reads the promises off the
// streams: a request with a usable id has one result, anything else is one dead
// letter, and nobody else is touched.
func FuzzMessage(f *testing.F) {
	seedMessages(f)
	h := newFuzzed(f)
	f.Fuzz(func(t *testing.T, header, body []byte) {
		header, body = header[:min(len(header), 70_000)], body[:min(len(body), 1<<16)] // JetStream refuses more
		body = bytes.ReplaceAll(body, []byte("[sim:"), []byte("[not:"))                // the simulator would obey
		h.play(t, header, bytes.ReplaceAll(body, []byte(newID), []byte(servicetest.NewID())))
	})
}

func seedMessages(f *testing.F) {
	f.Helper()
	plain := `{"request_id":"` + newID + `","prompt":"Why?"}`
	for _, header := range []string{
		"", "X: 1", "traceparent: 00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01\r\ntracestate: a=b,c=d",
		"Nats-Msg-Id: 1", "Nats-Rollup: all", "Nats-Schedule: @at 2030-01-01T00:00:00Z\r\nNats-Schedule-Target: gemini.responses.x",
		"Nats-Expected-Last-Subject-Sequence: 0", "Nats-TTL: 1s", "Nats-Marker-Reason: MaxAge", "Status: 503", "Status: 100\r\nDescription: Idle Heartbeat",
		"Gemini-Retry-Count: 99", "Gemini-Strikes: 3", "Gemini-Replay: 1", "Gemini-Billed: {\"cost\":-1}", "gemini-retry-count: -1",
		"{\"a\": 1", "no colon", ": no name", "X:\x00", "X: a\r\n\r\nX: b", " folded", "X: " + strings.Repeat("a", 65_000), strings.Repeat("X: 1\r\n", 5000),
	} {
		f.Add([]byte(header), []byte(plain))
	}
	for _, body := range []string{
		"", "{", "null", "[]", `"x"`, "\x00", `{"request_id":1}`, `{"request_id":"` + newID + `"}`,
		`{"request_id":"` + newID + `","prompt":"","temperature":9}`,
		`{"request_id":"` + newID + `","prompt":"a","callback_queue":"gemini.requests"}`,
		`{"request_id":"` + newID + `","prompt":"a","callback_queue":"gemini.responses.>","metadata":{"a":[1,{"b":null}]}}`,
		`{"request_id":"` + newID + `","messages":[{"role":"user","content":[{"type":"text","text":"a"}]}],"stream":true}`,
		`{"request_id":"` + newID + `","prompt":"a","deadline":"2001-01-01T00:00:00Z"}`,
		`{"request_id":"` + newID + `","prompt":"a","openrouter":{"models":["google/gemini-2.5-pro"],"stop":1}}`,
		`{"request_id":"` + newID + `","prompt":"a","model":"openai/gpt-5"}`,
		`{"request_id":"` + newID + `","request_id":"x","prompt":"a"}`,
		`{"request_id":"` + newID + `","prompt":"` + strings.Repeat(`\u0000`, 100) + `","metadata":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`,
	} {
		f.Add([]byte("X: 1"), []byte(body))
	}
}

// fuzzed is a service, a backend that reads its streams, and a connection that
// publishes whatever bytes it likes.
type fuzzed struct {
	*bench
	wire  net.Conn
	acks  *nats.Subscription
	rules events.Rules
	n     int // messages that were settled

	requests, retries, results, deadletters jetstream.Stream
}

func newFuzzed(f *testing.F) *fuzzed {
	f.Helper()
	n := servicetest.RunNATS(f)
	or := servicetest.RunOpenRouter(f, simulator.Config{History: 10})
	b := setupOn(f, n, or, quick, func(c *config.Config) { c.FirstTokenTimeout = 5 * time.Second })
	b.start()
	h := &fuzzed{bench: b, rules: b.config.Rules(int(b.NC.MaxPayload()))}
	var err error
	if h.acks, err = b.NC.SubscribeSync(b.NC.NewInbox()); err != nil {
		f.Fatal(err)
	}
	if err := b.NC.Flush(); err != nil { // the server knows the subscription
		f.Fatal(err)
	}
	h.requests, h.retries = h.open(f, h.Names.RequestsStream()), h.open(f, h.Names.RetriesStream())
	h.results, h.deadletters = h.open(f, h.Names.ResponsesStream()), h.open(f, h.Names.DeadlettersStream())
	h.dial(f)
	return h
}

// dial opens a connection of its own, and answers the server's pings.
func (h *fuzzed) dial(f *testing.F) {
	f.Helper()
	address, err := url.Parse(h.nats.URL)
	if err != nil {
		f.Fatal(err)
	}
	if h.wire, err = (&net.Dialer{}).DialContext(f.Context(), "tcp", address.Host); err != nil {
		f.Fatal(err)
	}
	var mu sync.Mutex
	write := func(text string) {
		mu.Lock()
		defer mu.Unlock()
		_, _ = h.wire.Write([]byte(text)) // a lost connection shows as a missing acknowledgement
	}
	write("CONNECT {\"verbose\":false,\"headers\":true}\r\n")
	var reading sync.WaitGroup
	reading.Go(func() {
		for lines := bufio.NewScanner(h.wire); lines.Scan(); {
			if strings.HasPrefix(lines.Text(), "PING") {
				write("PONG\r\n")
			}
		}
	})
	f.Cleanup(func() {
		h.wire.Close()
		reading.Wait()
	})
}

// play publishes a message and waits until the service has settled it.
func (h *fuzzed) play(t *testing.T, header, body []byte) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), servicetest.Patience)
	defer cancel()
	sequence, stored := h.publish(ctx, t, header, body)
	if !stored {
		return
	}
	request, broken := h.rules.Decode(body, time.Now())
	h.settled(ctx, t, sequence)
	if errors.Is(broken, events.ErrNoID) {
		h.hasDeadLetter(ctx, t, sequence)
	} else {
		h.hasResult(ctx, t, request)
	}
	if h.n++; h.n%50 == 0 {
		h.neighbour(ctx, t)
	}
}

// publish writes the message as it is and returns its place in the stream; false
// if the stream does not take it.
func (h *fuzzed) publish(ctx context.Context, t *testing.T, header, body []byte) (uint64, bool) {
	t.Helper()
	head := "NATS/1.0\r\n" + string(header) + "\r\n\r\n"
	message := fmt.Sprintf("HPUB %s %s %d %d\r\n%s%s\r\n", h.Names.RequestQueue, h.acks.Subject, len(head), len(head)+len(body), head, body)
	if _, err := h.wire.Write([]byte(message)); err != nil {
		t.Fatalf("the server has closed the connection: %v", err)
	}
	m, err := h.acks.NextMsgWithContext(ctx)
	if err != nil {
		t.Fatalf("no acknowledgement: %v", err)
	}
	var ack struct {
		Sequence  uint64          `json:"seq"`
		Duplicate bool            `json:"duplicate"`
		Error     json.RawMessage `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &ack); err != nil {
		t.Fatalf("acknowledgement %q: %v", m.Data, err)
	}
	return ack.Sequence, ack.Error == nil && !ack.Duplicate
}

// settled waits until a message has left the queue, and nothing waits to be
// tried again.
func (h *fuzzed) settled(ctx context.Context, t *testing.T, sequence uint64) {
	t.Helper()
	for pause := time.Millisecond; ; pause = min(2*pause, 100*time.Millisecond) {
		_, err := h.requests.GetMsg(ctx, sequence)
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			info, err := h.retries.Info(ctx)
			if err != nil {
				t.Fatal(err)
			}
			if info.State.Msgs == 0 {
				return
			}
		}
		select {
		case <-time.After(pause):
		case <-ctx.Done():
			t.Fatalf("message %d is not settled (%v); the service's log:\n%s", sequence, err, h.log)
		}
	}
}

func (h *fuzzed) open(f *testing.F, name string) jetstream.Stream {
	f.Helper()
	s, err := h.JS.Stream(f.Context(), name)
	if err != nil {
		f.Fatal(err)
	}
	return s
}
