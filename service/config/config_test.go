package config_test

import (
	"errors"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gemini-client/service/config"
)

func TestDefaults(t *testing.T) {
	c := load(t)
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
func TestReportsEveryMistake(t *testing.T) {
	for name, value := range map[string]string{
		"WORKER_CONCURRENCY": "many", "ACK_WAIT": "30", "QUEUE_RETRY_DELAYS": "60,soon", "NATS_PROVISION": "maybe",
		"REQUESTS_MAX_BYTES": "1 elephant", "KEYS_COOLDOWN_SECONDS": "0", "OPENROUTER_BASE_URL": "openrouter.ai",
		"HTTP_PROXY": "ftp://user:secret@proxy", "LOG_LEVEL": "LOUD", "LOG_FORMAT": "xml", "NATS_REPLICAS": "2",
		"RESPONSE_QUEUE": "gemini.responses.>", "MODELS_ALLOW": "[", "NATS_TLS_CERT": "/no/such/file", "RESULTS_MAX_AGE": "1h",
		"HTTP_ADDR": "8080", "DEBUG_ADDR": ":6060", "OPENROUTER_API_KEYS": "AIzaSyGoogle",
	} {
		t.Setenv(name, value)
	}
	_, _, err := config.Load("", "")
	if !errors.Is(err, config.ErrInvalid) {
		t.Fatalf("got %v, want ErrConfig", err)
	}
	for _, name := range []string{
		"WORKER_CONCURRENCY", "ACK_WAIT", "QUEUE_RETRY_DELAYS", "NATS_PROVISION", "REQUESTS_MAX_BYTES", "KEYS_COOLDOWN_SECONDS",
		"OPENROUTER_BASE_URL", "HTTP_PROXY", "LOG_LEVEL", "LOG_FORMAT", "NATS_REPLICAS", "RESPONSE_QUEUE", "MODELS_ALLOW",
		"NATS_TLS_CERT", "NATS_TLS_KEY", "RESULTS_MAX_AGE", "HTTP_ADDR", "DEBUG_ADDR", "OPENROUTER_API_KEYS",
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

func TestOlderNames(t *testing.T) {
	t.Setenv("GEMINI_API_KEYS", "sk-or-old")
	t.Setenv("GEMINI_MODEL_TEXT", "gemini-2.5-pro")
	t.Setenv("WORKER_PREFETCH_COUNT", "7")
	t.Setenv("ACK_WAIT", "") // as a Compose file sets what is not given
	c, warnings, err := config.Load("", "")
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
	if c, warnings, err = config.Load("", ""); err != nil || c.Model != "google/gemini-3.5-flash-lite" || len(warnings) != 1 {
		t.Errorf("the new name does not win: %s, %q, %v", c.Model, warnings, err)
	}
}

// Google's keys must not travel to OpenRouter.
func TestRefusesGoogleKeys(t *testing.T) {
	t.Setenv("GEMINI_API_KEYS", "some-google-key")
	if _, _, err := config.Load("", ""); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "GEMINI_API_KEYS") {
		t.Errorf("got %v", err)
	}
}

func TestRequiresAKey(t *testing.T) {
	c := load(t)
	if err := c.RequireKeys(); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "OPENROUTER_API_KEYS") || !strings.Contains(err.Error(), "https://openrouter.ai/settings/keys") {
		t.Errorf("got %v, want the variable and how to get a key", err)
	}
}

func TestMasksSecrets(t *testing.T) {
	t.Setenv("OPENROUTER_API_KEYS", "sk-or-v1-0123456789abcdef,sk-or-short")
	t.Setenv("NATS_PASSWORD", "hunter2")
	t.Setenv("NATS_URL", "nats://user:pass@a:4222,nats://b:4222")
	t.Setenv("HTTP_PROXY", "socks5://me:mine@hysteria2:1080")
	c, _, err := config.Load("", "")
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

// load returns the configuration of an empty environment.
func load(t *testing.T) config.Config {
	t.Helper()
	c, _, err := config.Load("", "")
	if err != nil {
		t.Fatalf("the defaults do not load: %v", err)
	}
	return c
}

// Every value that cannot be parsed says what it should look like, and those
// that can be are read all the same.
func TestValuesBesideAProblem(t *testing.T) {
	for name, value := range map[string]string{"ACK_WAIT": "30", "WORKER_CONCURRENCY": "7", "OPENROUTER_MODEL": " ", "GEMINI_MODEL_TEXT": "gemini-2.5-pro", "NATS_EMBEDDED": "2", "MODELS_ALLOW": " google/* , ,x/y,"} {
		t.Setenv(name, value)
	}
	c, warnings, err := config.Load("", "")
	for _, want := range []string{"ACK_WAIT=30: want a time with its unit", "NATS_EMBEDDED=2: want true or false"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the message:\n%v", want, err)
		}
	}
	if c.Concurrency != 7 || c.Model != "gemini-2.5-pro" || len(warnings) != 1 || strings.Join(c.ModelsAllow, " ") != "google/* x/y" || c.BaseURL == "" {
		t.Errorf("the other values: got %d, %s, %q, %q, %s", c.Concurrency, c.Model, warnings, c.ModelsAllow, c.BaseURL)
	}
}

func TestUsableKeys(t *testing.T) {
	t.Parallel()
	dir := t.TempDir()
	for text, says := range map[string]string{
		"sk-or-a\nsk-or-b": "", "# nothing\n\n": "no key", "AIzaGoogle": "Google", "sk or": "space",
	} {
		path := filepath.Join(dir, "keys")
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		keys, err := config.ReadUsableKeys(path)
		if (err == nil) != (says == "") || err != nil && !strings.Contains(err.Error(), says) || err == nil && len(keys) != 2 {
			t.Errorf("%q: got %q, %v, want an error with %q", text, keys, err, says)
		}
	}
	if _, err := config.ReadUsableKeys(filepath.Join(dir, "none")); err == nil {
		t.Error("a file that is not there: no error")
	}
}

func TestKeysFileWithoutKeys(t *testing.T) {
	path := filepath.Join(t.TempDir(), "keys")
	if err := os.WriteFile(path, []byte("# none\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	t.Setenv("OPENROUTER_API_KEYS_FILE", path)
	c := load(t)
	if err := c.RequireKeys(); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), path) {
		t.Errorf("no key in the file: got %v", err)
	}
	for _, variable := range []string{"OPENROUTER_API_KEYS_FILE", "NATS_PASSWORD_FILE"} {
		t.Setenv(variable, path+".none")
	}
	if _, _, err := config.Load("", ""); err == nil || !strings.Contains(err.Error(), "OPENROUTER_API_KEYS_FILE: ") || !strings.Contains(err.Error(), "NATS_PASSWORD_FILE: ") {
		t.Errorf("files that are not there: got %v", err)
	}
}

// A rotated password is read again; without its file the last one holds.
func TestCurrentPassword(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "password")
	n := config.NATS{Password: "first", PasswordFile: path}
	if got := n.CurrentPassword(); got != "first" {
		t.Errorf("without the file: got %q", got)
	}
	if err := os.WriteFile(path, []byte("second\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if got := n.CurrentPassword(); got != "second" {
		t.Errorf("with the file: got %q", got)
	}
}

func TestSize(t *testing.T) {
	t.Parallel()
	for text, want := range map[string]string{"0": "0", "1048576": "1MiB", "512KiB": "512KiB", "1GB": "1000000000", "1GiB": "1GiB", "1500": "1500"} {
		var s config.Size
		if err := s.UnmarshalText([]byte(text)); err != nil || s.String() != want {
			t.Errorf("%s: got %s, %v, want %s", text, s, err, want)
		}
	}
}

// The waits of a request that is tried again, and how long its record must live.
func TestRetryDelays(t *testing.T) {
	t.Parallel()
	q := config.Queue{RetryDelays: []int{1, 60}, MaxRetries: 3}
	for n, want := range []time.Duration{time.Second, time.Minute, time.Minute} {
		if got := q.RetryDelay(n); got != want {
			t.Errorf("retry %d: got %s, want %s", n, got, want)
		}
	}
	if got, want := q.LeastRecordAge(), 242*time.Second; got != want {
		t.Errorf("least age: got %s, want %s", got, want)
	}
	if got := (config.Queue{}).RetryDelay(0); got != time.Minute {
		t.Errorf("no delays: got %s", got)
	}
}

func TestMarkdown(t *testing.T) {
	t.Parallel()
	table := new(config.Config).Markdown()
	for _, row := range []string{"| `OPENROUTER_MODEL` (older: `GEMINI_MODEL_TEXT`) | `google/gemini-2.5-flash` |", "| `NATS_PASSWORD` |  | password |"} {
		if !strings.Contains(table, row) {
			t.Errorf("%s is not in\n%s", row, table)
		}
	}
}
