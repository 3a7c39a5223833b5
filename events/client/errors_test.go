package client_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/events/client"
	"gemini-client/events/client/clienttest"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// What is not in the queue is told by an error of its own, with a way out.
func TestRefused(t *testing.T) {
	t.Parallel()
	served := func(tb testing.TB) *nats.Conn { tb.Helper(); return clienttest.Start(tb) }
	alone := func(tb testing.TB) *nats.Conn { tb.Helper(); return servicetest.RunNATS(tb).Connect() }
	full := func(tb testing.TB) *nats.Conn {
		tb.Helper()
		return clienttest.Start(tb, clienttest.WithConfig(func(c *config.Config) { c.Concurrency, c.RequestsMaxBytes = 1, 1<<20 }))
	}
	for name, tt := range map[string]struct {
		connect func(tb testing.TB) *nats.Conn
		request events.Request
		times   int
		want    error
		says    string
	}{
		"too large":  {served, events.Request{Prompt: "hello", SystemInstruction: strings.Repeat("long ", 1<<18)}, 1, client.ErrTooLarge, "make smaller what is not its prompt"},
		"no service": {alone, events.Request{Prompt: "hello"}, 1, client.ErrNoService, "provision"},
		"full":       {full, events.Request{Prompt: "[sim:hang] " + strings.Repeat("long ", 40_000)}, 20, client.ErrQueueFull, "REQUESTS_MAX_BYTES"},
		"no UUID":    {alone, events.Request{ID: "one", Prompt: "hello"}, 1, nil, "want a UUID"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			c := newClient(t, tt.connect(t))
			var err error
			for range tt.times {
				if _, err = c.Submit(soon(t), tt.request); err != nil {
					break
				}
			}
			if err == nil || tt.want != nil && !errors.Is(err, tt.want) || !strings.Contains(err.Error(), tt.says) {
				t.Errorf("got %v, want %v", err, tt.want)
			}
		})
	}
}

// A result that came while the backend was cut off is there when it is back, and one
// request submitted meanwhile is in the queue once.
func TestCutOff(t *testing.T) {
	t.Parallel()
	nc := clienttest.Start(t)
	between := servicetest.RunForwarder(t, strings.TrimPrefix(nc.ConnectedUrl(), "nats://"))
	away, err := nats.Connect("nats://"+between.Address, nats.MaxReconnects(-1), nats.ReconnectWait(10*time.Millisecond))
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(away.Close)
	c := newClient(t, away)
	h := submit(t, c, events.Request{Prompt: "hello"})
	between.Cut()
	answered := make(chan error, 1)
	go func() {
		_, err := h.Result(soon(t))
		answered <- err
	}()
	if _, err := submitted(t, nc, h.ID()).Result(soon(t)); err != nil { // it is stored now
		t.Fatal(err)
	}
	later := make(chan error, 1)
	go func() {
		h, err := c.Submit(soon(t), events.Request{Prompt: "while it is cut off"})
		if err == nil {
			_, err = h.Result(soon(t))
		}
		later <- err
	}()
	between.Heal()
	if err := errors.Join(<-answered, <-later); err != nil {
		t.Error(err)
	}
}

// submitted opens a request on another connection.
func submitted(t *testing.T, nc *nats.Conn, id string) *client.Handle {
	t.Helper()
	h, err := newClient(t, nc).Open(id)
	if err != nil {
		t.Fatal(err)
	}
	return h
}
