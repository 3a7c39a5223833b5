package telemetry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"

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
		if !call(WithAttempt(ctx, attempt), t, b.Telemetry, server.URL) {
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
	var resent []string
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
	}
	if fmt.Sprint(resent) != "[ 1]" {
		t.Errorf("resend counts are %q, want none and then 1", resent)
	}
	wantNoSecrets(t, b)
	if text := b.scrape(t, openMetrics); !strings.Contains(text, "http_client_request_duration_seconds_count{") {
		t.Error("no http_client_request_duration_seconds among the metrics")
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
