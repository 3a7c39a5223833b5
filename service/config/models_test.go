package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"gemini-client/service/config"
)

// Who may answer instead of a request's own model.
func TestFallbacks(t *testing.T) {
	const lite = "google/gemini-3.5-flash-lite"
	tests := map[string]struct {
		set  map[string]string
		file string
		want []string
	}{
		"nothing is set":            {nil, "", []string{lite}},
		"blank, as Compose sets it": {map[string]string{"OPENROUTER_FALLBACK_MODELS": " "}, "", []string{lite}},
		"none":                      {map[string]string{"OPENROUTER_FALLBACK_MODELS": "none"}, "", nil},
		"an empty list in a file":   {nil, "openrouter_fallback_models: []\n", nil},
		"two, one without google/":  {map[string]string{"OPENROUTER_FALLBACK_MODELS": "gemini-2.5-pro, google/b"}, "", []string{"google/gemini-2.5-pro", "google/b"}},
		"a default that is not allowed is nobody's mistake": {map[string]string{"MODELS_ALLOW": "openai/*", "OPENROUTER_MODEL": "openai/x"}, "", nil},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			for name, value := range tt.set {
				t.Setenv(name, value)
			}
			path := ""
			if tt.file != "" {
				path = filepath.Join(t.TempDir(), "c.yaml")
				if err := os.WriteFile(path, []byte(tt.file), 0o600); err != nil {
					t.Fatal(err)
				}
			}
			c, _, err := config.Load(path, "")
			if err != nil {
				t.Fatal(err)
			}
			if got := c.Fallbacks(); !slices.Equal(got, tt.want) {
				t.Errorf("got %q, want %q", got, tt.want)
			}
			if got := c.FallbacksOf(true); !slices.Equal(got, tt.want) {
				t.Errorf("of a request that names its model: got %q, want %q", got, tt.want)
			}
		})
	}
}

func TestFallbacksNever(t *testing.T) {
	t.Setenv("MODEL_FALLBACK", "Never")
	c := load(t)
	if own, others := c.FallbacksOf(true), c.FallbacksOf(false); own != nil || len(others) != 1 {
		t.Errorf("got %q for a request that names its model, %q for others, want none and one", own, others)
	}
}

func TestRefusesFallbacks(t *testing.T) {
	for name, tt := range map[string]struct {
		set  map[string]string
		want string
	}{
		"three":         {map[string]string{"OPENROUTER_FALLBACK_MODELS": "google/a,google/b,google/c"}, "OPENROUTER_FALLBACK_MODELS: names 3 models: name 2 at most"},
		"none and more": {map[string]string{"OPENROUTER_FALLBACK_MODELS": "none,google/a"}, "OPENROUTER_FALLBACK_MODELS: none stands alone"},
		"not allowed":   {map[string]string{"OPENROUTER_FALLBACK_MODELS": "openai/x"}, `"openai/x" is not in MODELS_ALLOW`},
		"the default, asked for where it is not allowed": {map[string]string{"OPENROUTER_FALLBACK_MODELS": "google/gemini-3.5-flash-lite", "MODELS_ALLOW": "openai/*", "OPENROUTER_MODEL": "openai/x"}, "is not in MODELS_ALLOW"},
		"another word": {map[string]string{"MODEL_FALLBACK": "sometimes"}, "MODEL_FALLBACK=sometimes: want one of [always never]"},
	} {
		t.Run(name, func(t *testing.T) {
			for name, value := range tt.set {
				t.Setenv(name, value)
			}
			if _, _, err := config.Load("", ""); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), tt.want) {
				t.Errorf("got %v, want %s", err, tt.want)
			}
		})
	}
}
