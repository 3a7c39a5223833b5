package telemetry

import (
	"context"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"testing/iotest"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/codes"
	"go.opentelemetry.io/otel/trace"
)

// call posts a prompt with a key, as the OpenRouter client does, and reads the
// answer. It returns false if there was none.
func call(ctx context.Context, t *testing.T, tel *Telemetry, url string) bool {
	t.Helper()
	base := &http.Transport{}
	defer base.CloseIdleConnections()
	r, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader(`{"prompt":"my secret prompt"}`))
	if err != nil {
		t.Fatal(err)
	}
	r.Header.Set("Authorization", "Bearer "+secretKey)
	r.Header.Set("X-Note", "a header")
	response, err := (&http.Client{Transport: tel.Transport(base)}).Do(r)
	if err != nil {
		return false
	}
	defer response.Body.Close()
	_, err = io.Copy(io.Discard, response.Body)
	return err == nil
}

func TestTransport(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	received := make(chan http.Header, 2)
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		received <- r.Header
		w.WriteHeader(http.StatusTooManyRequests)
		_, _ = io.WriteString(w, "my secret answer")
	}))
	t.Cleanup(server.Close)

	ctx, chat := b.StartChat(t.Context(), ChatInfo{Model: "m"})
	member, err := baggage.NewMember("tenant", "a")
	if err != nil {
		t.Fatal(err)
	}
	bag, err := baggage.New(member)
	if err != nil {
		t.Fatal(err)
	}
	ctx = baggage.ContextWithBaggage(ctx, bag)
	for attempt := 1; attempt <= 2; attempt++ {
		if !call(WithAttempt(ctx, Attempt{Number: attempt, Model: fmt.Sprint("m", attempt)}), t, b.Telemetry, server.URL) {
			t.Fatal("no answer")
		}
		header := <-received
		if header.Get("Authorization") != "Bearer "+secretKey {
			t.Errorf("the server received %v, want the key untouched", header)
		}
		for _, name := range []string{"Traceparent", "Tracestate", "Baggage"} {
			if header.Get(name) != "" {
				t.Errorf("the server received %s: %s", name, header.Get(name))
			}
		}
	}
	chat.End(ChatResult{})

	parent := b.span(t, "chat m").SpanContext.SpanID()
	var resent, models []string
	for _, span := range b.spans.GetSpans() {
		if span.Name == "chat m" {
			continue
		}
		if span.Name != "POST" || span.SpanKind != trace.SpanKindClient || span.Parent.SpanID() != parent {
			t.Errorf("span %q is a %v below %v, want POST, a client below chat", span.Name, span.SpanKind, span.Parent)
		}
		if span.Status.Code != codes.Error {
			t.Errorf("status of a 429 is %v, want an error", span.Status)
		}
		resent = append(resent, attributesOf(span.Attributes)["http.request.resend_count"])
		models = append(models, attributesOf(span.Attributes)["openrouter.request.model"])
	}
	if fmt.Sprint(resent, models) != "[ 1] [m1 m2]" {
		t.Errorf("resend counts are %q, models %q, want none and then 1, m1 and m2", resent, models)
	}
	wantNoSecrets(t, b)
	if text := b.scrape(t, openMetrics); !strings.Contains(text, "http_client_request_duration_seconds_count{") {
		t.Error("no http_client_request_duration_seconds among the metrics")
	}
}

// What net/http knows to be in memory it sends together with the headers: the request
// that we hand on is the one that we got.
func TestTransportLeavesTheRequestAlone(t *testing.T) {
	t.Parallel()
	for name, tel := range map[string]*Telemetry{"traced": setup(t, Config{}).Telemetry, "not traced": nop()} {
		r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "http://user:pass@example.com:8080/a?b=c", strings.NewReader("x"))
		if err != nil {
			t.Fatal(err)
		}
		body := r.Body
		response, err := tel.Transport(roundTripper(func(got *http.Request) (*http.Response, error) {
			if got.Body != body || got.ContentLength != 1 || got.GetBody == nil || got.URL.User == nil {
				t.Errorf("%s: the request is %+v, want it as it was", name, got)
			}
			if traced := got != r; traced != tel.tracing {
				t.Errorf("%s: the request was copied: %t", name, traced)
			}
			return &http.Response{StatusCode: http.StatusOK, Proto: "HTTP/2.0", Body: io.NopCloser(strings.NewReader(""))}, nil
		})).RoundTrip(r)
		if err != nil {
			t.Fatal(err)
		}
		_ = response.Body.Close()
	}
}

// roundTripper is a function as a transport.
type roundTripper func(*http.Request) (*http.Response, error)

func (f roundTripper) RoundTrip(r *http.Request) (*http.Response, error) { return f(r) }

// A span ends once, with what went wrong on the way to its end.
func TestTransportSpans(t *testing.T) {
	t.Parallel()
	for name, test := range map[string]struct {
		body   io.Reader
		close  bool
		status codes.Code
	}{
		"read to the end":   {strings.NewReader("answer"), false, codes.Unset},
		"closed before":     {strings.NewReader("answer"), true, codes.Unset},
		"broken on its way": {iotest.ErrReader(errors.New("reset")), true, codes.Error},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, Config{})
			r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://user:pass@example.com:443/a?b=c", http.NoBody)
			if err != nil {
				t.Fatal(err)
			}
			response, err := b.Transport(roundTripper(func(*http.Request) (*http.Response, error) {
				return &http.Response{StatusCode: http.StatusOK, Proto: "HTTP/2.0", Body: io.NopCloser(test.body)}, nil
			})).RoundTrip(r)
			if err != nil {
				t.Fatal(err)
			}
			_, _ = io.ReadAll(response.Body)
			if test.close {
				_ = response.Body.Close()
			}
			got := b.span(t, "POST")
			if got.Status.Code != test.status {
				t.Errorf("status is %v, want %v", got.Status, test.status)
			}
			want := map[string]string{
				"http.request.method": "POST", "url.full": "https://example.com:443/a?b=c", "server.address": "example.com",
				"http.response.status_code": "200", "network.protocol.version": "2.0",
			}
			if test.status == codes.Error {
				want["error.type"] = "*errors.errorString"
			}
			wantAttributes(t, got.Attributes, want)
			if text := b.scrape(t, "text/plain"); !strings.Contains(text, `http_client_request_duration_seconds_count{http_request_method="POST",http_response_status_code="200",network_protocol_name="http",network_protocol_version="2.0",server_address="example.com",url_scheme="https"} 1`) {
				t.Errorf("the request is not counted:\n%s", text)
			}
		})
	}
}

func TestTransportFailure(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	server := httptest.NewServer(http.NotFoundHandler())
	server.Close()
	if call(t.Context(), t, b.Telemetry, server.URL) {
		t.Fatal("a closed server answered")
	}
	if got := b.span(t, "POST"); got.Status.Code != codes.Error {
		t.Errorf("status is %v, want an error", got.Status)
	}
	wantNoSecrets(t, b)
}

// What a server sends in the place of HTTP is in the error: no more than a little of it
// gets into a span, which would be too large to export.
func TestTransportErrorsAreShort(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	r, err := http.NewRequestWithContext(t.Context(), http.MethodPost, "https://example.com/", http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	long := errors.New("malformed HTTP response\n" + strings.Repeat("x", 1<<20))
	_, err = b.Transport(roundTripper(func(*http.Request) (*http.Response, error) { return nil, long })).RoundTrip(r) //nolint:bodyclose // there is none
	if !errors.Is(err, long) {
		t.Errorf("got %v", err)
	}
	if got := b.span(t, "POST").Status; got.Code != codes.Error || got.Description != "malformed HTTP response" {
		t.Errorf("status is %v with %d bytes", got.Code, len(got.Description))
	}
}

func TestTransportWithoutTracing(t *testing.T) {
	t.Parallel()
	server := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		if r.Header.Get("Traceparent") != "" {
			w.WriteHeader(http.StatusBadRequest)
		}
	}))
	t.Cleanup(server.Close)
	if !call(withRemoteSpan(t), t, nop(), server.URL) {
		t.Error("no answer")
	}
	if nop().Transport(nil) == nil {
		t.Error("no transport over the default one")
	}
}

// wantNoSecrets looks through everything the spans have.
func wantNoSecrets(t *testing.T, b bundle) {
	t.Helper()
	for _, span := range b.spans.GetSpans() {
		text := fmt.Sprint(span.Name, span.Status, span.Events, attributesOf(span.Attributes))
		for _, secret := range []string{"secret", "0123456789", "Bearer", "a header"} {
			if strings.Contains(text, secret) {
				t.Errorf("span %q holds %q: %s", span.Name, secret, text)
			}
		}
	}
}
