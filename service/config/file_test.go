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

func TestFile(t *testing.T) {
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
	c, _, err := config.Load(good, "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Concurrency != 5 || c.AckWait != 45*time.Second || c.MaxRetries != 0 || c.RequestsMaxBytes != 64<<20 || len(c.APIKeys) != 2 {
		t.Errorf("environment over file over defaults: got %d, %s, %d, %s, %d keys", c.Concurrency, c.AckWait, c.MaxRetries, c.RequestsMaxBytes, len(c.APIKeys))
	}
	_, _, err = config.Load(write("bad.yaml", "worker_concurency: 9\nack_wait: soon\n"), "")
	if !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "worker_concurency") || !strings.Contains(err.Error(), "soon") {
		t.Errorf("a misspelt key and a bad value: got %v", err)
	}
	if _, _, err := config.Load(filepath.Join(dir, "none.yaml"), ""); !errors.Is(err, config.ErrInvalid) {
		t.Errorf("no file: got %v", err)
	}
}

func TestSecretFiles(t *testing.T) {
	dir := t.TempDir()
	keys, password := filepath.Join(dir, "keys"), filepath.Join(dir, "password")
	for path, text := range map[string]string{keys: "# rotated in May\nsk-or-a\n\nsk-or-b, sk-or-c\n", password: "secret\n"} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	t.Setenv("OPENROUTER_API_KEYS_FILE", keys)
	t.Setenv("NATS_PASSWORD_FILE", password)
	c, _, err := config.Load("", "")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(c.APIKeys, " ") != "sk-or-a sk-or-b sk-or-c" || c.Password != "secret" {
		t.Errorf("keys %q, password %q", c.APIKeys, c.Password)
	}
}

// A file's zero is a value, and not a wish for the default.
func TestFileZeros(t *testing.T) {
	t.Setenv("RETRY_WAIT_MAX", "1s")
	path := filepath.Join(t.TempDir(), "zeros.yaml")
	if err := os.WriteFile(path, []byte("nats_provision: false\nretry_wait_max: 0s\nshutdown_timeout: 0s\nhttp_addr: \"\"\ncallback_allow: []\nmodels_allow: [\"google/*\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := config.Load(path, "")
	if err != nil {
		t.Fatal(err)
	}
	if c.Provision || c.RetryWaitMax != time.Second || c.ShutdownTimeout != 0 || c.HTTPAddr != "" || len(c.CallbackAllow) != 0 || len(c.ModelsAllow) != 1 {
		t.Errorf("got provision %v, wait %s, shutdown %s, address %q, callbacks %v, models %v", c.Provision, c.RetryWaitMax, c.ShutdownTimeout, c.HTTPAddr, c.CallbackAllow, c.ModelsAllow)
	}
}

// Every problem of a file is in one message, beside those of the environment,
// and no secret of it is.
func TestFileReportsEveryProblem(t *testing.T) {
	t.Setenv("ACK_WAIT", "soon")
	path := filepath.Join(t.TempDir(), "bad.yaml")
	if err := os.WriteFile(path, []byte("worker_concurrency: many\nnats_tls_first: maybe\nrequests_max_bytes: 1 elephant\nno_such_setting: 1\nqueue_retry_delays: [soon]\nnats_password: [hunter2]\nhttp_proxy: {a: b}\nack_wait: 5s\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	_, _, err := config.Load(path, "")
	if !errors.Is(err, config.ErrInvalid) {
		t.Fatalf("got %v, want ErrInvalid", err)
	}
	for _, want := range []string{
		"worker_concurrency: many: want a whole number", "nats_tls_first: maybe: want true or false", "requests_max_bytes: 1 elephant: want bytes",
		"line 4: there is no setting no_such_setting", "queue_retry_delays", "nats_password", "http_proxy", "ACK_WAIT=soon: want a time",
	} {
		if !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the message:\n%v", want, err)
		}
	}
	if strings.Contains(err.Error(), "hunter2") {
		t.Errorf("the message shows the password:\n%v", err)
	}
}

func TestNotAFile(t *testing.T) {
	path := filepath.Join(t.TempDir(), "list.yaml")
	if err := os.WriteFile(path, []byte("- a\n- b\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, _, err := config.Load(path, ""); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that holds a list: got %v", err)
	}
}

// A file of keys is read anew while the service runs, under the same rules as at
// the start.
func TestCurrentKeys(t *testing.T) {
	t.Parallel()
	path := filepath.Join(t.TempDir(), "keys")
	c := config.OpenRouter{APIKeysFile: path, BaseURL: "http://simulator:1"}
	for text, ok := range map[string]bool{"sk-or-demo": true, "sk-or-v1-real": false, "AIzaGoogle": false, "": false} {
		if err := os.WriteFile(path, []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
		if keys, err := c.CurrentKeys(); (err == nil) != ok || (len(keys) == 1) != ok {
			t.Errorf("%q: got %d keys, %v", text, len(keys), err)
		}
	}
	c.APIKeysFile = filepath.Join(path, "nowhere")
	if keys, err := c.CurrentKeys(); err == nil {
		t.Errorf("no file: got %d keys", len(keys))
	}
}
