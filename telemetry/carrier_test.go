package telemetry

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"go.opentelemetry.io/otel/baggage"
	"go.opentelemetry.io/otel/trace"
)

const otherTraceparent = "00-11111111111111111111111111111111-2222222222222222-01"

func TestExtract(t *testing.T) {
	t.Parallel()
	tests := []struct {
		name   string
		header map[string][]string
		want   string // trace id, "" for none
		state  string
	}{
		{"nothing", nil, "", ""},
		{"lower case", map[string][]string{"traceparent": {traceparent}, "tracestate": {"a=1"}}, traceID, "a=1"},
		{"canonical case", map[string][]string{"Traceparent": {traceparent}, "Tracestate": {"a=1"}}, traceID, "a=1"},
		{"exact wins", map[string][]string{"TRACEPARENT": {otherTraceparent}, "traceparent": {traceparent}}, traceID, ""},
		{"origin", map[string][]string{"ce-traceparent": {traceparent}, "ce-tracestate": {"a=1%2Cb=2"}}, traceID, "a=1,b=2"},
		{"origin in any case", map[string][]string{"Ce-Traceparent": {traceparent}}, traceID, ""},
		{"last hop before origin", map[string][]string{"ce-traceparent": {otherTraceparent}, "traceparent": {traceparent}}, traceID, ""},
		{"invalid last hop", map[string][]string{"traceparent": {"nonsense"}, "ce-traceparent": {traceparent}}, traceID, ""},
		{"invalid", map[string][]string{"traceparent": {"nonsense"}}, "", ""},
		{"empty", map[string][]string{"traceparent": {}, "ce-traceparent": {""}}, "", ""},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			got := trace.SpanContextFromContext(nop().Extract(t.Context(), test.header))
			if got.IsValid() != (test.want != "") || test.want != "" && got.TraceID().String() != test.want {
				t.Errorf("trace is %s, want %q", got.TraceID(), test.want)
			}
			if got.TraceState().String() != test.state {
				t.Errorf("state is %q, want %q", got.TraceState(), test.state)
			}
			if got.IsValid() && !got.IsRemote() {
				t.Error("the context is not marked as remote")
			}
		})
	}
}

func TestInjectWritesLowerCaseOnce(t *testing.T) {
	t.Parallel()
	header := map[string][]string{
		"Traceparent": {otherTraceparent}, "TRACEPARENT": {otherTraceparent},
		"ce-traceparent": {otherTraceparent}, "Nats-Msg-Id": {"1"},
	}
	nop().Inject(withRemoteSpan(t), header)
	want := map[string][]string{
		"traceparent":    {traceparent},
		"ce-traceparent": {otherTraceparent}, "Nats-Msg-Id": {"1"},
	}
	if fmt.Sprint(header) != fmt.Sprint(want) {
		t.Errorf("headers are %v, want %v", header, want)
	}
	nop().Inject(withRemoteSpan(t), nil)
}

// A trace state of the longest legal length is cut to what W3C has everybody
// propagate: long members go first, then the last ones.
func TestTraceStateIsCut(t *testing.T) {
	t.Parallel()
	long := func(name string, n int) string { return name + "=" + strings.Repeat("x", n-len(name)-1) }
	tests := []struct{ name, state, want string }{
		{"short", "a=1,b=2", "a=1,b=2"},
		{"512", long("a", 255) + "," + long("b", 256), long("a", 255) + "," + long("b", 256)},
		{"long ones first", long("a", 200) + "," + long("b", 100) + "," + long("c", 256) + "," + long("d", 120), long("a", 200) + "," + long("b", 100) + "," + long("d", 120)},
		{"then the last", strings.Join([]string{long("a", 128), long("b", 128), long("c", 128), long("d", 128)}, ","), strings.Join([]string{long("a", 128), long("b", 128), long("c", 128)}, ",")},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			ctx := nop().Extract(t.Context(), map[string][]string{"traceparent": {traceparent}, "tracestate": {test.state}})
			header := map[string][]string{}
			nop().Inject(ctx, header)
			if got := header["tracestate"]; len(got) != 1 || got[0] != test.want {
				t.Errorf("state is %q, want %q", got, test.want)
			}
		})
	}
}

func TestBaggageTravels(t *testing.T) {
	t.Parallel()
	ctx := nop().Extract(t.Context(), map[string][]string{"Baggage": {"tenant=a", "plan=b"}})
	if got := baggage.FromContext(ctx); got.Member("tenant").Value() != "a" || got.Member("plan").Value() != "b" {
		t.Errorf("baggage is %q, want both members", got)
	}
	header := map[string][]string{}
	nop().Inject(ctx, header)
	if len(header["baggage"]) != 1 {
		t.Errorf("headers are %v, want baggage", header)
	}
}

func TestPropagatorsFromTheEnvironment(t *testing.T) {
	t.Setenv("OTEL_PROPAGATORS", "b3, tracecontext")
	b := setup(t, Config{})
	header := map[string][]string{}
	b.Inject(withRemoteSpan(t), header)
	if got := Carrier(header).Keys(); !slices.Equal(got, []string{"b3", "traceparent"}) {
		t.Errorf("headers are %q, want b3 and traceparent", got)
	}
	t.Setenv("OTEL_PROPAGATORS", "none")
	b = setup(t, Config{})
	ctx := b.Extract(t.Context(), map[string][]string{"traceparent": {traceparent}, "ce-traceparent": {traceparent}})
	if trace.SpanContextFromContext(ctx).IsValid() {
		t.Error("a context was extracted in spite of OTEL_PROPAGATORS=none")
	}
}

func TestCarrierGet(t *testing.T) {
	t.Parallel()
	c := Carrier{"B": {"1"}, "b3": {"2", "3"}, "TraceState": {"x"}, "TRACESTATE": {"y"}}
	tests := []struct{ key, want string }{
		{"B", "1"},
		{"b", "1"},
		{"B3", "2"},
		{"tracestate", "y"},
		{"absent", ""},
	}
	for _, test := range tests {
		if got := c.Get(test.key); got != test.want {
			t.Errorf("Get(%q) = %q, want %q", test.key, got, test.want)
		}
	}
}
