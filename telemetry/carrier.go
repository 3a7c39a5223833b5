package telemetry

import (
	"context"
	"maps"
	"net/url"
	"slices"
	"strings"

	"go.opentelemetry.io/otel/propagation"
	"go.opentelemetry.io/otel/trace"
)

// Carrier lets propagators read and write the headers of a NATS message. NATS
// keeps the case of header names and compares them exactly, so the carrier
// writes lower case, as W3C asks, and reads any case: another language's client
// may have sent Traceparent.
type Carrier map[string][]string

var (
	_ propagation.TextMapCarrier = Carrier{}
	_ propagation.ValuesGetter   = Carrier{}
)

// Get returns the first value of key, or "".
func (c Carrier) Get(key string) string {
	if values := c.Values(key); len(values) > 0 {
		return values[0]
	}
	return ""
}

// Values returns all values of key. An exact match wins; among other spellings
// the first in the order of bytes does.
func (c Carrier) Values(key string) []string {
	if values, ok := c[key]; ok {
		return values
	}
	found := ""
	for name := range c {
		if strings.EqualFold(name, key) && (found == "" || name < found) {
			found = name
		}
	}
	return c[found]
}

// Set replaces key, whatever its spelling was, by its lower-case form.
func (c Carrier) Set(key, value string) {
	maps.DeleteFunc(c, func(name string, _ []string) bool { return strings.EqualFold(name, key) })
	c[strings.ToLower(key)] = []string{value}
}

// Keys returns the names of all headers, sorted.
func (c Carrier) Keys() []string {
	return slices.Sorted(maps.Keys(c))
}

// cloudEventCarrier reads the distributed tracing extension of CloudEvents:
// the same two fields under a prefix.
type cloudEventCarrier struct{ Carrier }

func (c cloudEventCarrier) Get(key string) string {
	switch strings.ToLower(key) {
	case "traceparent", "tracestate":
		value := c.Carrier.Get("ce-" + key)
		if decoded, err := url.PathUnescape(value); err == nil {
			return decoded
		}
		return value
	default:
		return ""
	}
}

func (c cloudEventCarrier) Values(key string) []string {
	if value := c.Get(key); value != "" {
		return []string{value}
	}
	return nil
}

// Extract returns ctx with the trace context a message brought: that of its
// last hop (traceparent), else that of its origin (ce-traceparent). A message
// without one, or with one that is not valid, leaves the span in ctx as it is.
func (t *Telemetry) Extract(ctx context.Context, header map[string][]string) context.Context {
	if len(header) == 0 {
		return ctx
	}
	before := trace.SpanContextFromContext(ctx)
	ctx = t.propagator.Extract(ctx, Carrier(header))
	if !trace.SpanContextFromContext(ctx).Equal(before) {
		return ctx
	}
	return t.propagator.Extract(ctx, cloudEventCarrier{header})
}

// Inject writes the trace context of ctx into the headers of a message that is
// about to be sent, the trace state in at most 512 bytes. It does nothing to a nil
// map.
func (t *Telemetry) Inject(ctx context.Context, header map[string][]string) {
	if header == nil {
		return
	}
	c := Carrier(header)
	t.propagator.Inject(ctx, c)
	if state := c.Get("tracestate"); len(state) > maxTraceState {
		c.Set("tracestate", shortTraceState(state))
	}
}

// W3C Trace Context, section 3.3.1.5: at least 512 characters are propagated. Who
// has to leave something out leaves out whole members, first those of more than 128
// characters, from the end.
const (
	maxTraceState  = 512
	maxStateMember = 128
)

// shortTraceState returns the members of a trace state that are propagated.
func shortTraceState(state string) string {
	members := strings.Split(state, ",")
	size := len(state)
	for _, least := range []int{maxStateMember + 1, 0} {
		for i := len(members) - 1; i >= 0 && size > maxTraceState; i-- {
			if len(members[i]) >= least {
				size -= len(members[i]) + 1
				members = slices.Delete(members, i, i+1)
			}
		}
	}
	return strings.Join(members, ",")
}
