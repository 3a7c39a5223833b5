package telemetry

import (
	"fmt"
	"regexp"
	"strings"
	"testing"
)

func TestModelLabelIsBounded(t *testing.T) {
	t.Parallel()
	b := setup(t, Config{})
	for n := range 3 * maxModels {
		_, chat := b.StartChat(t.Context(), ChatInfo{Model: fmt.Sprintf("google/m-%d", n)})
		chat.End(ChatResult{Model: fmt.Sprintf("google/m-%d", n)})
		b.Instruments.Charged(t.Context(), "", fmt.Sprintf("google/m-%d", n), 1)
		b.Instruments.RequestSettled(t.Context(), "", outcome("completed"), "", fmt.Sprintf("google/m-%d", n))
		b.Instruments.CallFinished(t.Context(), "", "success", fmt.Sprintf("google/m-%d", n))
	}
	text := b.scrape(t, openMetrics)
	for _, metric := range []string{"gemini_cost_total", "gemini_requests_total", "gemini_calls_total", "gen_ai_client_operation_duration_seconds_count"} {
		series := regexp.MustCompile(`(?m)^`+metric+`\{.*$`).FindAllString(text, -1)
		if len(series) != maxModels+1 {
			t.Errorf("%s has %d series, want %d and one for the others", metric, len(series), maxModels)
		}
	}
	if want := fmt.Sprintf(`gemini_cost_total{gen_ai_request_model="other",tenant="default"} %d.0`, 2*maxModels); !strings.Contains(text, want) {
		t.Errorf("scrape lacks %s", want)
	}
	if got := b.span(t, "chat google/m-149"); attributesOf(got.Attributes)["gen_ai.request.model"] != "google/m-149" {
		t.Error("the model is folded on the span too")
	}
}

func TestFoldModel(t *testing.T) {
	t.Parallel()
	models := newModelSet()
	tests := []struct{ give, want string }{
		{"", ""},
		{"a", "a"},
		{strings.Repeat("a", maxModelName), strings.Repeat("a", maxModelName)},
		{strings.Repeat("a", maxModelName+1), "other"},
	}
	for _, test := range tests {
		if got := models.fold(test.give); got != test.want {
			t.Errorf("fold(%q) = %q, want %q", test.give, got, test.want)
		}
	}
}

// Invented names leave room for those that answer.
func TestInventedModelsTakeHalfOfTheLabels(t *testing.T) {
	t.Parallel()
	models := newModelSet()
	for n := range 2 * maxModels {
		models.fold(fmt.Sprintf("google/invented-%d", n))
	}
	for n := range 2 * maxModels {
		models.answered(fmt.Sprintf("google/real-%d", n))
	}
	for name, want := range map[string]string{
		"google/invented-24": "google/invented-24", "google/invented-25": "other",
		"google/real-24": "google/real-24", "google/real-25": "other",
	} {
		if got := models.fold(name); got != want {
			t.Errorf("fold(%q) = %q, want %q", name, got, want)
		}
	}
	models = newModelSet()
	for n := range 2 * maxModels { // asked for first, answered then
		models.fold(fmt.Sprintf("google/m-%d", n))
		models.answered(fmt.Sprintf("google/m-%d", n))
	}
	if got := models.fold("google/m-49"); got != "google/m-49" {
		t.Errorf("fold of a model that has answered = %q", got)
	}
}
