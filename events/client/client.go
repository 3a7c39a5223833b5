package client

import (
	"cmp"
	"errors"
	"fmt"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"go.opentelemetry.io/otel"
	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"

	"gemini-client/events"
	"gemini-client/events/bodies"
)

// submitTime bounds a submit whose context has no deadline.
const submitTime = 30 * time.Second

// Client submits requests and reads results. It is safe for concurrent use. It starts
// no goroutine and has nothing to be closed.
type Client struct {
	nc       *nats.Conn
	js       jetstream.JetStream
	names    events.Names
	api      string // prefix of JetStream's API
	callback string
	live     bool
	denials  *denials
	bodies   *bodies.Store

	tracer     trace.Tracer
	propagator propagation.TextMapPropagator
}

// Option changes a [Client].
type Option func(*Client)

// WithNames sets subjects and streams that are not the defaults: the service's
// REQUEST_QUEUE, RESPONSE_QUEUE, SUBJECT_PREFIX and STREAM_PREFIX.
func WithNames(names events.Names) Option { return func(c *Client) { c.names = names } }

// WithAPIPrefix sets the prefix of JetStream's API ($JS.API), where an account imports it
// under another name: gemini.js in deploy/nats/nats.conf. "" is the default.
func WithAPIPrefix(prefix string) Option {
	return func(c *Client) { c.api = cmp.Or(strings.TrimSuffix(prefix, "."), defaultAPI) }
}

// WithCallback sets where results go whose request names no callback. The service has
// to allow it (CALLBACK_ALLOW). The default is the response queue.
func WithCallback(queue string) Option { return func(c *Client) { c.callback = queue } }

// WithLiveResults has [Handle.Result] return a result as soon as it is published, one
// round trip sooner. In the moment in which a worker that was taken for dead comes back,
// it may be a second result, which the stream then refuses.
func WithLiveResults() Option { return func(c *Client) { c.live = true } }

// WithTracerProvider sets who makes spans. The default is OpenTelemetry's global one.
func WithTracerProvider(p trace.TracerProvider) Option {
	return func(c *Client) { c.tracer = p.Tracer(scope) }
}

// WithPropagator sets how trace context travels in headers. The default is W3C's
// traceparent, tracestate and baggage.
func WithPropagator(p propagation.TextMapPropagator) Option {
	return func(c *Client) { c.propagator = p }
}

// defaultAPI is the prefix of JetStream's API where no account imports it.
const defaultAPI = "$JS.API"

const scope = "gemini-client/events/client"

// New returns a client on a connection; one is enough for all that the connection is used for.
// Errors: no connection, names that are not valid.
func New(nc *nats.Conn, options ...Option) (*Client, error) {
	if nc == nil {
		return nil, errors.New("there is no connection to NATS")
	}
	c := &Client{
		nc: nc, api: defaultAPI,
		names:      events.DefaultNames(),
		tracer:     otel.Tracer(scope),
		propagator: propagation.NewCompositeTextMapPropagator(propagation.TraceContext{}, propagation.Baggage{}),
	}
	for _, set := range options {
		set(c)
	}
	if err := c.names.Validate(); err != nil {
		return nil, fmt.Errorf("names: %w", err)
	}
	if c.callback == "" {
		c.callback = c.names.ResponseQueue
	}
	var err error
	if c.js, err = jetstream.NewWithAPIPrefix(nc, c.api); err != nil {
		return nil, err
	}
	c.denials = listen(nc)
	c.bodies = c.newBodies()
	return c, nil
}
