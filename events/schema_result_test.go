package events_test

import (
	_ "embed"
	"maps"
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gemini-client/events"
)

func TestResultSchemaLists(t *testing.T) {
	t.Parallel()
	schema := schemaNode(t, resultSchema)
	later := []string{"cost_details", "service_tier", "cached", "audio_tokens", "result_ref", "note"} // only where they are told, or needed
	for name, n := range map[string]node{"result": schema, "usage": schema.Properties["usage"], "cost_details": schema.Properties["cost_details"], "result_ref": schema.Properties["result_ref"]} {
		want := slices.DeleteFunc(slices.Sorted(maps.Keys(n.Properties)), func(name string) bool { return slices.Contains(later, name) })
		if diff := cmp.Diff(want, slices.Sorted(slices.Values(n.Required))); diff != "" {
			t.Errorf("%s: every field is always there: -properties +required\n%s", name, diff)
		}
	}
	var codes []any
	for _, code := range events.Codes() {
		codes = append(codes, string(code))
	}
	if diff := cmp.Diff(append(codes, nil), schema.Properties["error_code"].Enum); diff != "" {
		t.Errorf("error_code: -Codes() +schema\n%s", diff)
	}
	if diff := cmp.Diff([]any{string(events.StatusSuccess), string(events.StatusError)}, schema.Properties["status"].Enum); diff != "" {
		t.Errorf("status: -Go +schema\n%s", diff)
	}
}

func TestGoldensMatchSchemas(t *testing.T) {
	t.Parallel()
	for prefix, schema := range map[string][]byte{"request_": requestSchema, "result_": resultSchema} {
		compiled := compile(t, schema)
		for name, content := range goldens(t, prefix) {
			if err := validate(t, compiled, content); err != nil {
				t.Errorf("testdata/%s\n got %v\nwant it valid", name, err)
			}
		}
	}
}

func TestResultSchemaRefuses(t *testing.T) {
	t.Parallel()
	schema := compile(t, resultSchema)
	for name, tt := range map[string]struct{ file, old, replacement string }{
		"a failure with content":   {"result_failed.json", `"content":null`, `"content":"x"`},
		"a failure without code":   {"result_failed.json", `"error_code":"rate_limited"`, `"error_code":null`},
		"a failure without error":  {"result_failed.json", `"error":"OpenRouter refused for too many calls"`, `"error":null`},
		"an unknown code":          {"result_failed.json", "rate_limited", "tired"},
		"a success with an error":  {"result_completed.json", `"error":null`, `"error":"x"`},
		"a naive time":             {"result_completed.json", "000120Z", "000120"},
		"a field that is not sent": {"result_completed.json", `"provider":"Google",`, ""},
		"a fraction of a token":    {"result_completed.json", `"total_tokens":11`, `"total_tokens":1.5`},
		"metadata a list":          {"result_failed.json", `"metadata":null`, `"metadata":[]`},
	} {
		content := string(golden(t, tt.file))
		changed := strings.Replace(content, tt.old, tt.replacement, 1)
		if changed == content {
			t.Errorf("%s: %s does not have %s", name, tt.file, tt.old)
		}
		if err := validate(t, schema, []byte(changed)); err == nil {
			t.Errorf("%s: %s\n got nothing from the schema\nwant it refused", name, changed)
		}
	}
}
