package events_test

import (
	"bytes"
	_ "embed"
	"encoding/json"
	"maps"
	"reflect"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/santhosh-tekuri/jsonschema/v6"

	"gemini-client/events"
)

// The schemas are for backends in any language; Go has the types.

//go:embed schema/request.schema.json
var requestSchema []byte

//go:embed schema/result.schema.json
var resultSchema []byte

// node is the part of a JSON Schema that these tests check.
type node struct {
	Description string          `json:"description"`
	Type        any             `json:"type"`
	Required    []string        `json:"required"`
	Enum        []any           `json:"enum"`
	Default     json.RawMessage `json:"default"`
	Properties  map[string]node `json:"properties"`
	Names       struct {
		Not *node `json:"not"`
	} `json:"propertyNames"`
}

func (n node) types() []string {
	if list, ok := n.Type.([]any); ok {
		var names []string
		for _, name := range list {
			names = append(names, name.(string))
		}
		return names
	}
	return []string{n.Type.(string)}
}

func schemaNode(t *testing.T, schema []byte) node {
	t.Helper()
	var n node
	if err := json.Unmarshal(schema, &n); err != nil {
		t.Fatalf("schema: got error %v, want JSON", err)
	}
	return n
}

func compile(tb testing.TB, schema []byte) *jsonschema.Schema {
	tb.Helper()
	document, err := jsonschema.UnmarshalJSON(bytes.NewReader(schema))
	if err != nil {
		tb.Fatal(err)
	}
	compiler := jsonschema.NewCompiler()
	compiler.AssertFormat()
	if err := compiler.AddResource("schema.json", document); err != nil {
		tb.Fatal(err)
	}
	compiled, err := compiler.Compile("schema.json")
	if err != nil {
		tb.Fatalf("schema: got error %v, want a valid one", err)
	}
	return compiled
}

func validate(tb testing.TB, schema *jsonschema.Schema, body []byte) error {
	tb.Helper()
	value, err := jsonschema.UnmarshalJSON(bytes.NewReader(body))
	if err != nil {
		tb.Fatalf("%s: got error %v, want JSON", cut(string(body)), err)
	}
	return schema.Validate(value)
}

// nullable are the fields of the contract that may be null.
func nullable(of reflect.Type) []string {
	return map[reflect.Type][]string{
		reflect.TypeFor[events.Request](): {"prompt", "messages", "system_instruction", "metadata", "stream", "deadline", "openrouter", "service_tier_fallback", "cache_ttl", "tier", "tier_fallback", "body_ref"},
		reflect.TypeFor[events.Result](): {
			"content", "error", "usage", "processing_time_ms", "model_used", "metadata", "finish_reason", "provider",
			"generation_id", "cost", "tool_calls", "reasoning", "error_code", "retryable",
		},
		reflect.TypeFor[events.Parameters](): {"stop_sequences"},
		reflect.TypeFor[events.Usage]():      {"cached_tokens", "reasoning_tokens"},
		reflect.TypeFor[events.CostDetails](): {
			"upstream_inference_cost", "upstream_inference_prompt_cost", "upstream_inference_completions_cost",
		},
	}[of]
}

// rawType is the type of a field Go keeps as raw JSON.
func rawType(name string) string {
	return map[string]string{"messages": "array", "metadata": "object", "tool_calls": "array"}[name]
}

// compare compares a schema's properties with a struct's fields, both ways.
func compare(t *testing.T, path string, n node, of reflect.Type) {
	t.Helper()
	fields := map[string]reflect.Type{}
	for field := range of.Fields() {
		if name, _, _ := strings.Cut(field.Tag.Get("json"), ","); name != "-" {
			fields[name] = field.Type
		}
	}
	want := slices.Sorted(maps.Keys(fields))
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(n.Properties))); diff != "" {
		t.Errorf("%s: properties of the schema against fields of %s: -fields +properties\n%s", path, of, diff)
	}
	for name, fieldType := range fields {
		property, there := n.Properties[name]
		if !there {
			continue
		}
		types := []string{jsonType(name, fieldType)}
		if slices.Contains(nullable(of), name) {
			types = append(types, "null")
		}
		if diff := cmp.Diff(types, property.types()); diff != "" {
			t.Errorf("%s.%s: types: -Go +schema\n%s", path, name, diff)
		}
		if property.Description == "" {
			t.Errorf("%s.%s: got no description, want one", path, name)
		}
		for fieldType.Kind() == reflect.Pointer {
			fieldType = fieldType.Elem()
		}
		if fieldType.Kind() == reflect.Struct && fieldType != reflect.TypeFor[time.Time]() {
			compare(t, path+"."+name, property, fieldType)
		}
	}
}

func jsonType(name string, of reflect.Type) string {
	switch of {
	case reflect.TypeFor[time.Time]():
		return "string"
	case reflect.TypeFor[json.RawMessage]():
		return rawType(name)
	}
	if of.Kind() == reflect.Pointer {
		return jsonType(name, of.Elem())
	}
	return map[reflect.Kind]string{
		reflect.String: "string", reflect.Bool: "boolean", reflect.Int: "integer", reflect.Float64: "number",
		reflect.Slice: "array", reflect.Struct: "object", reflect.Map: "object",
	}[of.Kind()]
}

func TestSchemasMatchTypes(t *testing.T) {
	t.Parallel()
	compare(t, "request", schemaNode(t, requestSchema), reflect.TypeFor[events.Request]())
	compare(t, "result", schemaNode(t, resultSchema), reflect.TypeFor[events.Result]())
}

// A field is required in the schema exactly if Decode refuses a body without it.
func TestRequestSchemaRequired(t *testing.T) {
	t.Parallel()
	schema := schemaNode(t, requestSchema)
	var full map[string]json.RawMessage
	if err := json.Unmarshal(golden(t, "request_backend.json"), &full); err != nil {
		t.Fatal(err)
	}
	full["stream"], full["deadline"], full["openrouter"] = raw("true"), raw(`"2031-01-01T00:00:00Z"`), raw("{}")
	full["service_tier_fallback"], full["cache_ttl"] = raw("true"), raw("60")
	full["tier"], full["tier_fallback"] = raw(`"batch"`), raw("false")
	for name := range schema.Properties {
		if name == "prompt" || name == "messages" || name == "body_ref" {
			continue // One of the three is required: the bad bodies cover that.
		}
		if _, there := full[name]; !there {
			t.Errorf("the full body lacks %s, which the schema knows", name)
		}
		less := maps.Clone(full)
		delete(less, name)
		body, err := json.Marshal(less)
		if err != nil {
			t.Fatal(err)
		}
		_, err = rules().Decode(body, now())
		if want := slices.Contains(schema.Required, name); (err != nil) != want {
			t.Errorf("Decode(%s), without %s\n got error %v\nwant one: %v, as the schema says", body, name, err, want)
		}
	}
}

// The defaults in the schema are those Decode fills in, and no other field
// gets a value.
func TestRequestSchemaDefaults(t *testing.T) {
	t.Parallel()
	got := defaultsOf(schemaNode(t, requestSchema))
	p := events.DefaultParameters()
	request := decode(t, asked())
	want := map[string]any{
		"model": request.Model, "system_instruction": nil, "callback_queue": request.CallbackQueue,
		"retry_count": float64(request.RetryCount), "metadata": nil, "stream": request.Stream, "deadline": nil, "openrouter": nil,
		"service_tier_fallback": request.ServiceTierFallback, "cache_ttl": nil, "tier": nil, "tier_fallback": true, // with a tier: see TestTier
		"parameters.temperature": p.Temperature, "parameters.top_p": p.TopP, "parameters.top_k": float64(p.TopK),
		"parameters.max_output_tokens": float64(p.MaxOutputTokens), "parameters.candidate_count": float64(p.CandidateCount),
		"parameters.stop_sequences": nil,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("defaults: -Decode +schema\n%s", diff)
	}
	if diff := cmp.Diff(events.Request{
		ID: someID, Prompt: "Hi", Model: "google/gemini-2.5-flash", CallbackQueue: "gemini.responses", Timestamp: now(), Parameters: p,
	}, request); diff != "" {
		t.Errorf("Decode(%s): -want +got\n%s", asked(), diff)
	}
}

func defaultsOf(n node) map[string]any {
	found := map[string]any{}
	for name, property := range n.Properties {
		if property.Default != nil {
			var value any
			_ = json.Unmarshal(property.Default, &value)
			found[name] = value
		}
		for inner, value := range defaultsOf(property) {
			found[name+"."+inner] = value
		}
	}
	return found
}

// What breaks a rule the schema can say is refused by both; the rest passes the
// schema, or the table would hide a rule it could say.
func TestRequestSchemaAgreesWithDecode(t *testing.T) {
	t.Parallel()
	schema := compile(t, requestSchema)
	for name, tt := range brokenBodies() {
		if name == "something after the object" || name == "not UTF-8" {
			continue // No JSON value to validate.
		}
		if strings.HasSuffix(name, "twice") || strings.HasSuffix(name, "thrice") {
			continue // The validator's own reading of JSON comes first.
		}
		if err := validate(t, schema, []byte(tt.body)); (err != nil) != tt.inSchema {
			t.Errorf("%s: %s\n got %v from the schema\nwant it refused: %v", name, cut(tt.body), err, tt.inSchema)
		}
	}
	for _, body := range []string{
		`{"prompt":"Hi"}`, `{"request_id":null,"prompt":"Hi"}`, `{"request_id":"x","prompt":"Hi"}`, `[]`, `null`,
	} {
		if err := validate(t, schema, []byte(body)); err == nil {
			t.Errorf("%s\n got nothing from the schema\nwant it refused: it has no id", body)
		}
	}
	names := schemaNode(t, requestSchema).Properties["openrouter"].Names.Not.Enum
	if len(names) != 14 {
		t.Errorf("openrouter\n got %d refused names %v\nwant the 14 of the contract", len(names), names)
	}
	for _, name := range names {
		decodeFailure(t, rules(), asked(`"openrouter":{"`+name.(string)+`":1}`))
	}
}
