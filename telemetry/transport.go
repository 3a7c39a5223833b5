package telemetry

import (
	"context"
	"fmt"
	"io"
	"net/http"
	"reflect"
	"strconv"
	"strings"
	"sync/atomic"
	"time"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/codes"
	semconv "go.opentelemetry.io/otel/semconv/v1.43.0"
	"go.opentelemetry.io/otel/trace"
)

// Transport wraps base so that each HTTP request gets a span below the current
// one, named after its method, and counts in http.client.request.duration. The
// span ends with the response body: read it to its end or close it.
//
// No header is recorded, and no trace header is added: the other side is a
// third party. A nil base means http.DefaultTransport.
//
// OpenTelemetry's own transport (otelhttp) wraps the body of each request. net/http
// then no longer knows that the body is in memory: it sends the headers by
// themselves, and copies the body through a buffer made for it.
func (t *Telemetry) Transport(base http.RoundTripper) http.RoundTripper {
	if base == nil {
		base = http.DefaultTransport
	}
	return &transport{base: base, tel: t}
}

type attemptKey struct{}

// Attempt is one of the attempts of a call.
type Attempt struct {
	Number int    // counted from 1
	Model  string // that is asked in it: the request's own, or a fallback
}

// WithAttempt returns a context for an attempt. Its HTTP span carries the model, as
// openrouter.request.model, and http.request.resend_count on all but the first.
func WithAttempt(ctx context.Context, attempt Attempt) context.Context {
	return context.WithValue(ctx, attemptKey{}, attempt)
}

type transport struct {
	base   http.RoundTripper
	tel    *Telemetry
	labels cache[httpKey, labels]
}

// RoundTrip implements http.RoundTripper. The request is not changed, and not copied
// where there is no span.
func (t *transport) RoundTrip(r *http.Request) (*http.Response, error) {
	start := time.Now()
	r, span := t.begin(r, start)
	response, err := t.base.RoundTrip(r)
	t.record(span, start, r, exchange{response, err})
	switch {
	case !span.IsRecording():
	case err != nil:
		failSpan(span, err)
		span.End()
	default:
		describeResponse(span, response)
		response.Body = &tracedBody{ReadCloser: response.Body, span: span}
	}
	return response, err
}

// begin returns the request with its span; the same request where none is recorded.
func (t *transport) begin(r *http.Request, at time.Time) (*http.Request, trace.Span) {
	ctx, span := t.tel.begin(r.Context(), spanStart{name: r.Method, kind: trace.SpanKindClient, at: at})
	if span.IsRecording() {
		span.SetAttributes(requestAttributes(r)...)
		r = r.WithContext(ctx)
	}
	return r, span
}

// exchange is what a request got.
type exchange struct {
	response *http.Response
	err      error
}

func (t *transport) record(span trace.Span, start time.Time, r *http.Request, x exchange) {
	took, k := time.Since(start), newHTTPKey(r, x.response, x.err)
	t.tel.Instruments.httpDuration.Record(forExemplar(span), took.Seconds(), t.labels.get(k, httpKey.labels).record...)
}

// CloseIdleConnections closes those of the wrapped transport, if it can.
func (t *transport) CloseIdleConnections() {
	if base, can := t.base.(interface{ CloseIdleConnections() }); can {
		base.CloseIdleConnections()
	}
}

// requestAttributes are those that the conventions want on the span of a request.
func requestAttributes(r *http.Request) []attribute.KeyValue {
	address := *r.URL
	address.User = nil
	attrs := make([]attribute.KeyValue, 0, 8)
	attrs = append(attrs, keyMethod.String(knownMethod(r.Method)), semconv.URLFull(address.String()), keyServerAddress.String(r.URL.Hostname()))
	if port := unusualPort(r); port > 0 {
		attrs = append(attrs, keyServerPort.Int(port))
	}
	if attempt, ok := r.Context().Value(attemptKey{}).(Attempt); ok {
		attrs = append(attrs, optional(keyUpstreamModel, attempt.Model)...)
		if attempt.Number > 1 {
			attrs = append(attrs, keyResendCount.Int(attempt.Number-1))
		}
	}
	return attrs
}

func describeResponse(span trace.Span, r *http.Response) {
	_, version := protocol(r.Proto)
	attrs := append(make([]attribute.KeyValue, 0, 3), keyStatus.Int(r.StatusCode))
	attrs = append(attrs, optional(keyHTTPVersion, version)...)
	if r.StatusCode >= http.StatusBadRequest || r.StatusCode < http.StatusContinue {
		attrs = append(attrs, keyErrorType.String(strconv.Itoa(r.StatusCode)))
		span.SetStatus(codes.Error, "")
	}
	span.SetAttributes(attrs...)
}

func failSpan(span trace.Span, err error) {
	span.SetAttributes(semconv.ErrorType(err))
	span.SetStatus(codes.Error, shorten(err.Error()))
}

// tracedBody ends the span of a request with its response.
type tracedBody struct {
	io.ReadCloser
	span  trace.Span
	ended atomic.Bool
}

// Read implements io.Reader.
func (b *tracedBody) Read(p []byte) (int, error) {
	n, err := b.ReadCloser.Read(p)
	switch err {
	case nil:
	case io.EOF:
		b.end()
	default:
		failSpan(b.span, err)
	}
	return n, err
}

// Close implements io.Closer. The span ends first: closing may take its time.
func (b *tracedBody) Close() error {
	b.end()
	return b.ReadCloser.Close()
}

func (b *tracedBody) end() {
	if !b.ended.Swap(true) {
		b.span.End()
	}
}

// httpKey is what the labels of a request are made of, as the conventions have them.
type httpKey struct {
	method, scheme, host string
	port                 int
	proto                string // such as HTTP/1.1
	status               int
	errorType            string // of a request that has no status
}

func newHTTPKey(r *http.Request, response *http.Response, err error) httpKey {
	k := httpKey{method: r.Method, scheme: r.URL.Scheme, host: r.URL.Hostname(), port: unusualPort(r), proto: r.Proto}
	if err != nil {
		k.errorType = typeOf(err)
		return k
	}
	k.status = response.StatusCode
	if response.Proto != "" { // the one that was agreed on
		k.proto = response.Proto
	}
	return k
}

func (k httpKey) labels() labels {
	name, version := protocol(k.proto)
	attrs := []attribute.KeyValue{keyMethod.String(knownMethod(k.method)), keyServerAddress.String(k.host), keyScheme.String(k.scheme)}
	attrs = append(attrs, optional(keyProtocol, name)...)
	attrs = append(attrs, optional(keyHTTPVersion, version)...)
	attrs = append(attrs, optional(keyErrorType, k.errorType)...)
	if k.port > 0 {
		attrs = append(attrs, keyServerPort.Int(k.port))
	}
	if k.status > 0 {
		attrs = append(attrs, keyStatus.Int(k.status))
	}
	return newLabels(attrs...)
}

// typeOf is the type of an error, as a label: what it says may be anything.
func typeOf(err error) string {
	t := reflect.TypeOf(err)
	if t.Kind() == reflect.Pointer {
		t = t.Elem()
	}
	if t.PkgPath() == "" || t.Name() == "" {
		return t.String()
	}
	return fmt.Sprintf("%s.%s", t.PkgPath(), t.Name())
}

// unusualPort is the port of a request's URL, unless it is that of its scheme; 0 then.
func unusualPort(r *http.Request) int {
	port, err := strconv.Atoi(r.URL.Port())
	if err != nil || r.URL.Scheme == "https" && port == 443 || r.URL.Scheme == "http" && port == 80 {
		return 0
	}
	return port
}

// protocol returns http and 1.1 for HTTP/1.1.
func protocol(proto string) (name, version string) {
	name, version, _ = strings.Cut(proto, "/")
	return strings.ToLower(name), version
}

// knownMethod keeps the label's values few.
func knownMethod(method string) string {
	switch method {
	case http.MethodGet, http.MethodHead, http.MethodPost, http.MethodPut, http.MethodPatch, http.MethodDelete, http.MethodConnect, http.MethodOptions, http.MethodTrace:
		return method
	}
	return errorTypeOther
}
