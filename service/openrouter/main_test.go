package openrouter_test

import (
	"context"
	"encoding/json"
	"errors"
	"io"
	"net/http"
	"net/url"
	"os"
	"path/filepath"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"go.uber.org/goleak"

	"gemini-client/service/openrouter"
)

const testKey = "sk-or-v1-0123456789abcdef0123456789abcdef"

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

// roundTrip is a transport without a network.
type roundTrip func(*http.Request) (*http.Response, error)

func (f roundTrip) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A step is what a scripted body does next: wait, then give data, fail, or hang until the call is over.
type step struct {
	wait time.Duration
	data string
	err  error
	hang bool
}

// A script is a response body that obeys its request's context, as a real one does.
type script struct {
	steps  []step
	done   <-chan struct{}
	cause  func() error
	closed atomic.Bool
}

func (s *script) Close() error {
	s.closed.Store(true)
	return nil
}

func (s *script) Read(into []byte) (int, error) {
	for len(s.steps) > 0 {
		now := &s.steps[0]
		if now.wait > 0 || now.hang {
			var due <-chan time.Time
			if !now.hang {
				due = time.After(now.wait)
			}
			select {
			case <-due:
			case <-s.done:
				return 0, s.cause()
			}
			now.wait = 0
		}
		if now.data != "" {
			n := copy(into, now.data)
			now.data = now.data[n:]
			return n, nil
		}
		if now.err != nil {
			return 0, now.err
		}
		s.steps = s.steps[1:]
	}
	return 0, io.EOF
}

// reply is one canned response.
type reply struct {
	status int
	header map[string]string
	steps  []step
}

func text(body string) reply { return reply{steps: []step{{data: body}}} }

// transport answers every request with the reply and checks when the test ends that the bodies were closed.
func (r reply) transport(tb testing.TB) roundTrip {
	tb.Helper()
	return func(req *http.Request) (*http.Response, error) {
		ctx := req.Context()
		body := &script{
			steps: append([]step(nil), r.steps...), done: ctx.Done(),
			cause: func() error { return context.Cause(ctx) },
		}
		tb.Cleanup(func() {
			if !body.closed.Load() {
				tb.Error("response body was not closed")
			}
		})
		header := http.Header{}
		for name, value := range r.header {
			header.Set(name, value)
		}
		return &http.Response{StatusCode: max(r.status, 200), Header: header, Body: body, Request: req}, nil
	}
}

func newClient(tb testing.TB, config openrouter.Config) *openrouter.Client {
	tb.Helper()
	client, err := openrouter.New(config)
	if err != nil {
		tb.Fatalf("New(%+v): %v", config, err)
	}
	tb.Cleanup(client.CloseIdleConnections)
	return client
}

// nobody is where nobody listens: a port that the system gives to no other test.
const nobody = "http://127.0.0.1:1"

// at is a base URL; "" is the default.
func at(raw string) *url.URL {
	if raw == "" {
		return nil
	}
	u, err := url.Parse(raw)
	if err != nil {
		panic(err) // a bug in the test
	}
	return u
}

func hello() openrouter.Request {
	return openrouter.Request{
		Model: "google/gemini-2.5-flash", MaxTokens: 100,
		Messages: json.RawMessage(`[{"role":"user","content":"hello"}]`),
	}
}

// outcome is everything a call gave.
type outcome struct {
	openrouter.Completion
	pieces []string
	err    *openrouter.Error
}

// ask makes a call and fails the test if the error is no *Error or comes with a completion.
func ask(tb testing.TB, client *openrouter.Client) outcome {
	tb.Helper()
	return askWith(tb.Context(), tb, client)
}

func askWith(ctx context.Context, tb testing.TB, client *openrouter.Client) outcome {
	tb.Helper()
	var o outcome
	done, err := client.Complete(ctx, testKey, new(hello()), func(piece string) { o.pieces = append(o.pieces, piece) })
	if err == nil {
		o.Completion = *done
		if got := strings.Join(o.pieces, ""); got != o.Content {
			tb.Errorf("pieces %q do not make the content %q", got, o.Content)
		}
		return o
	}
	o.err = asError(tb, err)
	if done != nil {
		tb.Errorf("a completion came with the error: %+v", done)
	}
	return o
}

func asError(tb testing.TB, err error) *openrouter.Error {
	tb.Helper()
	var e *openrouter.Error
	if !errors.As(err, &e) {
		tb.Fatalf("error is a %T, want *openrouter.Error: %v", err, err)
	}
	if e.Kind == "" || e.Message == "" || strings.Contains(e.Error(), "sk-or-") {
		tb.Errorf("unfit error: kind %q, text %q", e.Kind, e.Error())
	}
	return e
}

func testdata(tb testing.TB, name string) string {
	tb.Helper()
	content, err := os.ReadFile(filepath.Join("testdata", name))
	if err != nil {
		tb.Fatal(err)
	}
	return string(content)
}

func data(events ...string) string {
	var b strings.Builder
	for _, event := range events {
		b.WriteString("data: " + event + "\n\n")
	}
	return b.String()
}

// delta is a chunk with the given fields in its delta; finish is a finish_reason or empty.
func delta(fields, finish string) string {
	if finish != "" {
		finish = `,"finish_reason":"` + finish + `"`
	}
	return `{"id":"gen-1","model":"m","provider":"P","choices":[{"index":0,"delta":{` + fields + `}` + finish + `}]}`
}
