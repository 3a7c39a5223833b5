package upstream

import "testing"

// Which providers run on and bill when a stream is cancelled.
func TestRunsOn(t *testing.T) {
	t.Parallel()
	for _, tt := range []struct {
		provider, model string
		want            bool
	}{
		{"", "google/gemini-2.5-flash", true},
		{"", "~google/gemini-flash-latest", true},
		{"", "google/gemma-3", true}, // until somebody answers
		{"", "openai/gpt-5", false},
		{"Google", "google/gemini-2.5-flash", true},
		{"Google AI Studio", "google/gemini-2.5-flash", true},
		{"simulator", "google/gemini-2.5-flash", true},
		{"Google", "anthropic/claude", true},
		{"Amazon Bedrock", "anthropic/claude", true},
		{"Groq", "google/gemma-3", true},
		{"DeepInfra", "google/gemma-3", false},
		{"Anthropic", "anthropic/claude", false},
		{"SambaNova", "meta-llama/x", true},
		{"Perplexity", "perplexity/sonar", true},
		{"OpenAI", "openai/gpt-5", false},
	} {
		if got := runsOn(tt.provider, tt.model); got != tt.want {
			t.Errorf("%q, %s: got %v", tt.provider, tt.model, got)
		}
	}
}
