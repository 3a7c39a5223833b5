package service_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gemini-client/service"
)

func TestConfigDefaults(t *testing.T) {
	c := defaults(t)
	want := map[string]string{
		"REQUEST_QUEUE": "gemini.requests", "RESPONSE_QUEUE": "gemini.responses", "OPENROUTER_BASE_URL": "https://openrouter.ai/api/v1",
		"OPENROUTER_MODEL": "google/gemini-2.5-flash", "KEYS_MAX_PER_MINUTE": "0", "KEYS_COOLDOWN_SECONDS": "60",
		"QUEUE_RETRY_DELAYS": "60,600,3600,86400", "QUEUE_MAX_RETRIES": "4", "WORKER_CONCURRENCY": "100", "ACK_WAIT": "30s",
		"RETRY_WAIT_MAX": "20s", "SHUTDOWN_TIMEOUT": "25s", "MAX_STRIKES": "3", "FIRST_TOKEN_TIMEOUT": "1m0s", "TOKEN_GAP_TIMEOUT": "30s",
		"CALL_TIMEOUT": "10m0s", "REQUESTS_MAX_BYTES": "1GiB", "RESULTS_MAX_AGE": "168h0m0s", "DEADLETTERS_MAX_AGE": "720h0m0s",
		"MODELS_ALLOW": "google/*,~google/*", "NATS_PROVISION": "true", "NATS_REPLICAS": "1", "STREAM_PREFIX": "GEMINI",
		"SUBJECT_PREFIX": "gemini", "HTTP_ADDR": ":8080",
	}
	for _, s := range c.Settings() {
		if value, ok := want[s.Name]; ok && s.Value != value {
			t.Errorf("%s: got %q, want %q", s.Name, s.Value, value)
		}
		delete(want, s.Name)
		if s.Meaning == "" {
			t.Errorf("%s has no meaning", s.Name)
		}
	}
	for name := range want {
		t.Errorf("there is no %s", name)
	}
}

// Every mistake is in one message.
func TestConfigReportsEveryMistake(t *testing.T) {
	for name, value := range map[string]string{
		"WORKER_CONCURRENCY": "many", "ACK_WAIT": "30", "QUEUE_RETRY_DELAYS": "60,soon", "NATS_PROVISION": "maybe",
		"REQUESTS_MAX_BYTES": "1 elephant", "KEYS_COOLDOWN_SECONDS": "0", "OPENROUTER_BASE_URL": "openrouter.ai",
		"HTTP_PROXY": "ftp://user:secret@proxy", "LOG_LEVEL": "LOUD", "LOG_FORMAT": "xml", "NATS_REPLICAS": "2",
		"RESPONSE_QUEUE": "gemini.responses.>", "MODELS_ALLOW": "[", "NATS_TLS_CERT": "/no/such/file", "RESULTS_MAX_AGE": "1h",
		"HTTP_ADDR": "8080", "OPENROUTER_API_KEYS": "AIzaSyGoogle",
	} {
		t.Setenv(name, value)
	}
	_, _, err := service.Load("")
	if !errors.Is(err, service.ErrConfig) {
		t.Fatalf("got %v, want ErrConfig", err)
	}
	for _, name := range []string{
		"WORKER_CONCURRENCY", "ACK_WAIT", "QUEUE_RETRY_DELAYS", "NATS_PROVISION", "REQUESTS_MAX_BYTES", "KEYS_COOLDOWN_SECONDS",
		"OPENROUTER_BASE_URL", "HTTP_PROXY", "LOG_LEVEL", "LOG_FORMAT", "NATS_REPLICAS", "RESPONSE_QUEUE", "MODELS_ALLOW",
		"NATS_TLS_CERT", "NATS_TLS_KEY", "RESULTS_MAX_AGE", "HTTP_ADDR", "OPENROUTER_API_KEYS",
	} {
		if !strings.Contains(err.Error(), name) {
			t.Errorf("the message does not name %s:\n%v", name, err)
		}
	}
	for _, secret := range []string{"AIzaSyGoogle", "user:secret"} {
		if strings.Contains(err.Error(), secret) {
			t.Errorf("the message shows %s:\n%v", secret, err)
		}
	}
}

func TestConfigOlderNames(t *testing.T) {
	t.Setenv("GEMINI_API_KEYS", "sk-or-old")
	t.Setenv("GEMINI_MODEL_TEXT", "gemini-2.5-pro")
	t.Setenv("WORKER_PREFETCH_COUNT", "7")
	t.Setenv("ACK_WAIT", "") // as a Compose file sets what is not given
	c, warnings, err := service.Load("")
	if err != nil {
		t.Fatal(err)
	}
	if len(c.APIKeys) != 1 || c.APIKeys[0] != "sk-or-old" || c.Model != "gemini-2.5-pro" || c.Concurrency != 7 || c.AckWait != 30*time.Second {
		t.Errorf("keys %d, model %s, concurrency %d, ack wait %s", len(c.APIKeys), c.Model, c.Concurrency, c.AckWait)
	}
	if len(warnings) != 2 {
		t.Errorf("warnings: %q, want one each for GEMINI_API_KEYS and GEMINI_MODEL_TEXT", warnings)
	}
	t.Setenv("OPENROUTER_MODEL", "google/gemini-3.5-flash-lite")
	if c, warnings, err = service.Load(""); err != nil || c.Model != "google/gemini-3.5-flash-lite" || len(warnings) != 1 {
		t.Errorf("the new name does not win: %s, %q, %v", c.Model, warnings, err)
	}
}

// Google's keys must not travel to OpenRouter.
func TestConfigRefusesGoogleKeys(t *testing.T) {
	t.Setenv("GEMINI_API_KEYS", "some-google-key")
	if _, _, err := service.Load(""); !errors.Is(err, service.ErrConfig) || !strings.Contains(err.Error(), "GEMINI_API_KEYS") {
		t.Errorf("got %v", err)
	}
}

func TestConfigRequiresAKey(t *testing.T) {
	c := defaults(t)
	if err := c.RequireKeys(); !errors.Is(err, service.ErrConfig) || !strings.Contains(err.Error(), "OPENROUTER_API_KEYS") || !strings.Contains(err.Error(), "https://openrouter.ai/settings/keys") {
		t.Errorf("got %v, want the variable and how to get a key", err)
	}
}

// A real key does not travel unencrypted.
func TestConfigPlainHTTP(t *testing.T) {
	for _, c := range []struct {
		url, key string
		ok       bool
	}{
		{"http://127.0.0.1:1/api/v1", "sk-or-v1-real", true},
		{"http://[::1]:1/api/v1", "sk-or-v1-real", true},
		{"http://localhost:1/api/v1", "sk-or-v1-real", true},
		{"http://sim:1/api/v1", "sk-or-demo", true},
		{"https://openrouter.ai/api/v1", "sk-or-v1-real", true},
		{"http://sim:1/api/v1", "sk-or-v1-real", false},
		{"http://127.0.0.1.evil.example/api/v1", "sk-or-v1-real", false},
	} {
		t.Setenv("OPENROUTER_BASE_URL", c.url)
		t.Setenv("OPENROUTER_API_KEYS", c.key)
		if _, _, err := service.Load(""); (err == nil) != c.ok {
			t.Errorf("%s with %s: got %v, want ok %v", c.url, c.key, err, c.ok)
		}
	}
}

func TestConfigFile(t *testing.T) {
	dir := t.TempDir()
	write := func(name, text string) string {
		path := filepath.Join(dir, name)
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		return path
	}
	t.Setenv("WORKER_CONCURRENCY", "5")
	good := write("good.yaml", "worker_concurrency: 9\nack_wait: 45s\nqueue_max_retries: 0\nrequests_max_bytes: 64MiB\nopenrouter_api_keys: [sk-or-a, sk-or-b]\n")
	c, _, err := service.Load(good)
	if err != nil {
		t.Fatal(err)
	}
	if c.Concurrency != 5 || c.AckWait != 45*time.Second || c.MaxRetries != 0 || c.RequestsMaxBytes != 64<<20 || len(c.APIKeys) != 2 {
		t.Errorf("environment over file over defaults: got %d, %s, %d, %s, %d keys", c.Concurrency, c.AckWait, c.MaxRetries, c.RequestsMaxBytes, len(c.APIKeys))
	}
	_, _, err = service.Load(write("bad.yaml", "worker_concurency: 9\nack_wait: soon\n"))
	if !errors.Is(err, service.ErrConfig) || !strings.Contains(err.Error(), "worker_concurency") || !strings.Contains(err.Error(), "soon") {
		t.Errorf("a misspelt key and a bad value: got %v", err)
	}
	if _, _, err := service.Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, service.ErrConfig) {
		t.Errorf("no file: got %v", err)
	}
}

func TestConfigSecretFiles(t *testing.T) {
	dir := t.TempDir()
	keys, password := filepath.Join(dir, "keys"), filepath.Join(dir, "password")
	for path, text := range map[string]string{keys: "# rotated in May\nsk-or-a\n\nsk-or-b, sk-or-c\n", password: "secret\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("OPENROUTER_API_KEYS_FILE", keys)
	t.Setenv("NATS_PASSWORD_FILE", password)
	c, _, err := service.Load("")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(c.APIKeys, " ") != "sk-or-a sk-or-b sk-or-c" || c.Password != "secret" {
		t.Errorf("keys %q, password %q", c.APIKeys, c.Password)
	}
}

func TestConfigMasksSecrets(t *testing.T) {
	t.Setenv("OPENROUTER_API_KEYS", "sk-or-v1-0123456789abcdef,sk-or-short")
	t.Setenv("NATS_PASSWORD", "hunter2")
	t.Setenv("NATS_URL", "nats://user:pass@a:4222,nats://b:4222")
	t.Setenv("HTTP_PROXY", "socks5://me:mine@hysteria2:1080")
	c, _, err := service.Load("")
	if err != nil {
		t.Fatal(err)
	}
	want := map[string]string{
		"OPENROUTER_API_KEYS": "****cdef,****", "NATS_PASSWORD": "****", "NATS_URL": "nats://****@a:4222,nats://b:4222", "HTTP_PROXY": "socks5://****@hysteria2:1080",
	}
	for _, s := range c.Settings() {
		if value, ok := want[s.Name]; ok && s.Value != value {
			t.Errorf("%s: got %s, want %s", s.Name, s.Value, value)
		}
	}
}
