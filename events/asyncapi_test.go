package events_test

import (
	_ "embed"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"

	"gemini-client/events"
)

//go:embed asyncapi.yaml
var asyncAPI []byte

// AsyncAPI's own schema: github.com/asyncapi/spec-json-schemas, schemas/3.0.0.json at 7dd3990, with its LICENSE.
//
//go:embed testdata/asyncapi/3.0.0.json
var asyncAPISchema []byte

// document is the part of an AsyncAPI document that these tests check.
type document struct {
	Channels   map[string]channel   `json:"channels"`
	Operations map[string]operation `json:"operations"`
	Components struct {
		Schemas  map[string]schemaOrRef `json:"schemas"`
		Messages map[string]message     `json:"messages"`
	} `json:"components"`
}

type channel struct {
	Address  string         `json:"address"`
	Messages map[string]ref `json:"messages"`
	Stream   string         `json:"x-jetstream-stream"`
	Bucket   string         `json:"x-jetstream-object-store"` // of what is too large for its messages
}

type operation struct {
	Action  string `json:"action"`
	Channel ref    `json:"channel"`
	Reply   *struct {
		Channel ref `json:"channel"`
	} `json:"reply"`
}

type message struct {
	Name     string      `json:"name"`
	Headers  schemaOrRef `json:"headers"`
	Payload  payload     `json:"payload"`
	Examples []struct {
		Name    string          `json:"name"`
		Headers json.RawMessage `json:"headers"`
		Payload json.RawMessage `json:"payload"`
	} `json:"examples"`
}

// payload is a schema, or one of another format.
type payload struct {
	Ref    string `json:"$ref"`
	Schema ref    `json:"schema"`
}

type ref struct {
	Ref string `json:"$ref"`
}

type schemaOrRef struct {
	node
	Ref   string        `json:"$ref"`
	AllOf []schemaOrRef `json:"allOf"`
}

// readAsyncAPI returns the document as JSON, and read.
func readAsyncAPI(t *testing.T) ([]byte, document) {
	t.Helper()
	var value any
	if err := yaml.Unmarshal(asyncAPI, &value); err != nil {
		t.Fatal(err)
	}
	encoded, err := json.Marshal(value)
	if err != nil {
		t.Fatal(err)
	}
	var d document
	if err := json.Unmarshal(encoded, &d); err != nil {
		t.Fatal(err)
	}
	return encoded, d
}

// properties are those of a schema and of all that it is made of.
func (d document) properties(s schemaOrRef) map[string]node {
	all := maps.Clone(s.Properties)
	if all == nil {
		all = map[string]node{}
	}
	parts := s.AllOf
	if name, ok := strings.CutPrefix(s.Ref, "#/components/schemas/"); ok {
		parts = append(parts, d.Components.Schemas[name])
	}
	for _, part := range parts {
		maps.Copy(all, d.properties(part))
	}
	return all
}

func TestAsyncAPIIsValid(t *testing.T) {
	t.Parallel()
	encoded, _ := readAsyncAPI(t)
	if err := validate(t, compile(t, asyncAPISchema), encoded); err != nil {
		t.Errorf("asyncapi.yaml\n got %v\nwant it valid", err)
	}
}

func TestAsyncAPIHasEveryChannel(t *testing.T) {
	t.Parallel()
	const id = "3fa85f64-5717-4562-b3fc-2c963f66afa6"
	n := events.DefaultNames()
	want := map[string]channel{ // all that is not between the service and itself
		"requests":      {Address: n.RequestQueue, Stream: n.RequestsStream(), Bucket: n.BodiesBucket()},
		"completed":     {Address: events.Completed(n.ResponseQueue, id), Stream: n.ResponsesStream(), Bucket: n.BodiesBucket()},
		"failed":        {Address: events.Failed(n.ResponseQueue, id), Stream: n.ResponsesStream()},
		"deltas":        {Address: n.Deltas(id)},
		"cancels":       {Address: n.Cancel(id), Stream: n.CancelsStream()},
		"status":        {Address: n.Status()},
		"statusReplies": {},
		"deadletters":   {Address: n.Deadletter(events.Internal, id), Stream: n.DeadlettersStream()},
	}
	_, d := readAsyncAPI(t)
	got := map[string]channel{}
	for name, c := range d.Channels {
		address := strings.NewReplacer("{requestId}", id, "{code}", string(events.Internal)).Replace(c.Address)
		got[name] = channel{Address: address, Stream: c.Stream, Bucket: c.Bucket}
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("channels: -Go +asyncapi.yaml\n%s", diff)
	}
}

func TestAsyncAPIUsesWhatItHas(t *testing.T) {
	t.Parallel()
	_, d := readAsyncAPI(t)
	var channels, messages []string
	for _, o := range d.Operations {
		channels = append(channels, strings.TrimPrefix(o.Channel.Ref, "#/channels/"))
		if o.Reply != nil {
			channels = append(channels, strings.TrimPrefix(o.Reply.Channel.Ref, "#/channels/"))
		}
	}
	for _, c := range d.Channels {
		for _, m := range c.Messages {
			messages = append(messages, strings.TrimPrefix(m.Ref, "#/components/messages/"))
		}
	}
	slices.Sort(channels)
	slices.Sort(messages)
	if diff := cmp.Diff(slices.Sorted(maps.Keys(d.Channels)), channels); diff != "" {
		t.Errorf("each channel has one operation: -channels +operations\n%s", diff)
	}
	if diff := cmp.Diff(slices.Sorted(maps.Keys(d.Components.Messages)), messages); diff != "" {
		t.Errorf("each message is on one channel: -messages +channels\n%s", diff)
	}
}

func TestAsyncAPIHeaders(t *testing.T) {
	t.Parallel()
	_, d := readAsyncAPI(t)
	trace := []string{"baggage", "traceparent", "tracestate"}
	result := events.ResultHeader(events.Result{ModelRequested: "google/m", Key: "cdef"}, "id", "/gemini-client", time.Now())
	for name, own := range map[string][]string{
		"request":    {events.HeaderMsgID, "ce-traceparent", "ce-tracestate"},
		"completed":  slices.Collect(maps.Keys(result)),
		"failed":     slices.Collect(maps.Keys(result)),
		"deadletter": {events.HeaderTenant, events.HeaderLane, events.HeaderIsolated, events.HeaderReason, events.HeaderTruncated, events.HeaderDropped},
	} {
		want := slices.Sorted(slices.Values(append(own, trace...)))
		if diff := cmp.Diff(want, slices.Sorted(maps.Keys(d.properties(d.Components.Messages[name].Headers)))); diff != "" {
			t.Errorf("headers of %s: -Go +asyncapi.yaml\n%s", name, diff)
		}
	}
	types := d.properties(d.Components.Schemas["resultHeaders"])[events.HeaderType].Enum
	if diff := cmp.Diff([]any{events.TypeCompleted, events.TypeFailed}, types); diff != "" {
		t.Errorf("%s: -Go +asyncapi.yaml\n%s", events.HeaderType, diff)
	}
	if a, b := d.Components.Messages["completed"].Name, d.Components.Messages["failed"].Name; a != events.TypeCompleted || b != events.TypeFailed {
		t.Errorf("names of results: got %s and %s, want their CloudEvents types", a, b)
	}
}

func TestAsyncAPIDelta(t *testing.T) {
	t.Parallel()
	_, d := readAsyncAPI(t)
	compare(t, "delta", d.Components.Schemas["delta"].node, reflect.TypeFor[events.Delta]())
}

func TestAsyncAPIExamples(t *testing.T) {
	t.Parallel()
	_, d := readAsyncAPI(t)
	files := map[string][]byte{"./schema/request.schema.json": requestSchema, "./schema/result.schema.json": resultSchema}
	for name, of := range map[string]string{"request": "request", "completed": "result", "failed": "result"} {
		m := d.Components.Messages[name]
		schema := files[m.Payload.Schema.Ref]
		if m.Payload.Schema.Ref != "./schema/"+of+".schema.json" || len(m.Examples) == 0 {
			t.Errorf("%s: got schema %q and %d examples, want the one of a %s, and an example", name, m.Payload.Schema.Ref, len(m.Examples), of)
			continue
		}
		for _, example := range m.Examples {
			if err := validate(t, compile(t, schema), example.Payload); err != nil {
				t.Errorf("example %s of %s\n got %v\nwant it valid", example.Name, name, err)
			}
			if of == "request" {
				if _, err := rules().Decode(example.Payload, time.Now()); err != nil {
					t.Errorf("example %s of %s\n got %v\nwant it to be accepted", example.Name, name, err)
				}
			}
		}
	}
	for _, example := range d.Components.Messages["delta"].Examples {
		if _, err := events.DecodeDelta(example.Payload); err != nil {
			t.Errorf("example %s of delta: %v", example.Name, err)
		}
	}
}
