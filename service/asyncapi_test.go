package service

import (
	"encoding/json"
	"maps"
	"os"
	"slices"
	"testing"

	"github.com/google/go-cmp/cmp"
	"go.yaml.in/yaml/v3"
)

// What a worker replies is what the AsyncAPI document says, field by field.
func TestAsyncAPIStatus(t *testing.T) {
	t.Parallel()
	text, err := os.ReadFile("../events/asyncapi.yaml")
	if err != nil {
		t.Fatal(err)
	}
	var document struct {
		Components struct {
			Schemas struct {
				Status struct {
					Required   []string
					Properties map[string]any
				}
			}
		}
	}
	if err := yaml.Unmarshal(text, &document); err != nil {
		t.Fatal(err)
	}
	body, err := json.Marshal(WorkerStatus{})
	if err != nil {
		t.Fatal(err)
	}
	var fields map[string]any
	if err := json.Unmarshal(body, &fields); err != nil {
		t.Fatal(err)
	}
	status, want := document.Components.Schemas.Status, slices.Sorted(maps.Keys(fields))
	if diff := cmp.Diff(want, slices.Sorted(maps.Keys(status.Properties))); diff != "" {
		t.Errorf("properties: -WorkerStatus +asyncapi.yaml\n%s", diff)
	}
	if diff := cmp.Diff(want, slices.Sorted(slices.Values(status.Required))); diff != "" {
		t.Errorf("required: -WorkerStatus +asyncapi.yaml\n%s", diff)
	}
}
