package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gemini-client/service/config"
)

// The first glob that matches counts, also one that says that there is no limit.
func TestLimitsOfModels(t *testing.T) {
	t.Setenv("MODELS_MAX_PER_MINUTE", " google/gemini-2.5-flash=600, google/free*=0 ,google/*=1000,")
	path := filepath.Join(t.TempDir(), "config.yaml")
	if err := os.WriteFile(path, []byte("models_max_tokens_per_minute: google/*=5000\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := config.Load(path, "")
	if err != nil {
		t.Fatal(err)
	}
	for model, want := range map[string]int64{"google/gemini-2.5-flash": 600, "google/gemini-2.5-pro": 1000, "google/free-1": 0, "other/model": 0} {
		if got := c.ModelsMaxPerMinute.Of(model); got != want {
			t.Errorf("%s: got %d, want %d", model, got, want)
		}
	}
	if got := c.ModelsMaxTokensPerMinute.Of("google/x"); got != 5000 {
		t.Errorf("tokens of a file: got %d, want 5000", got)
	}
	for _, s := range c.Settings() {
		if s.Name == "MODELS_MAX_PER_MINUTE" && s.Value != "google/gemini-2.5-flash=600,google/free*=0,google/*=1000" {
			t.Errorf("it is shown as %s", s.Value)
		}
	}
}

func TestBadLimits(t *testing.T) {
	for _, text := range []string{"google/*", "google/*=", "=5", "google/*=many", "google/*=-1", "google/*=2000000000", "google/[=5", "google/*=5,x"} {
		t.Setenv("MODELS_MAX_PER_MINUTE", text)
		if _, _, err := config.Load("", ""); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "MODELS_MAX_PER_MINUTE="+text) || !strings.Contains(err.Error(), "google/gemini-2.5-flash=600,google/*=1000") {
			t.Errorf("%s: got %v", text, err)
		}
	}
	t.Setenv("MODELS_MAX_PER_MINUTE", "")
	t.Setenv("KEYS_LIMIT_SCOPE", "process")
	t.Setenv("KEYS_MAX_TOKENS_PER_MINUTE", "1000")
	if _, _, err := config.Load("", ""); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "KEYS_MAX_TOKENS_PER_MINUTE=1000") {
		t.Errorf("tokens of a process: got %v", err)
	}
	t.Setenv("KEYS_LIMIT_SCOPE", "all")
	if _, _, err := config.Load("", ""); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "KEYS_LIMIT_SCOPE=all") {
		t.Errorf("another scope: got %v", err)
	}
}
