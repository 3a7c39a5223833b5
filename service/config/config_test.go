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
		"HTTP_ADDR": "8080", "OPENROUTER_API_KEYS": "AIzaSyGoogle",
	} {
		t.Setenv(name, value)
	}
	_, _, err := config.Load("")
	if !errors.Is(err, config.ErrInvalid) {
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

func TestOlderNames(t *testing.T) {
	t.Setenv("GEMINI_API_KEYS", "sk-or-old")
	t.Setenv("GEMINI_MODEL_TEXT", "gemini-2.5-pro")
	t.Setenv("WORKER_PREFETCH_COUNT", "7")
	t.Setenv("ACK_WAIT", "") // as a Compose file sets what is not given
	c, warnings, err := config.Load("")
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
	if c, warnings, err = config.Load(""); err != nil || c.Model != "google/gemini-3.5-flash-lite" || len(warnings) != 1 {
		t.Errorf("the new name does not win: %s, %q, %v", c.Model, warnings, err)
	}
}

// Google's keys must not travel to OpenRouter.
func TestRefusesGoogleKeys(t *testing.T) {
	t.Setenv("GEMINI_API_KEYS", "some-google-key")
	if _, _, err := config.Load(""); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "GEMINI_API_KEYS") {
		t.Errorf("got %v", err)
	}
}

func TestRequiresAKey(t *testing.T) {
	c := load(t)
	if err := c.RequireKeys(); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "OPENROUTER_API_KEYS") || !strings.Contains(err.Error(), "https://openrouter.ai/settings/keys") {
		t.Errorf("got %v, want the variable and how to get a key", err)
	}
}

// A real key does not travel unencrypted.
func TestPlainHTTP(t *testing.T) {
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
		if _, _, err := config.Load(""); (err == nil) != c.ok {
			t.Errorf("%s with %s: got %v, want ok %v", c.url, c.key, err, c.ok)
		}
	}
}

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
	c, _, err := config.Load(good)
	if err != nil {
		t.Fatal(err)
	}
	if c.Concurrency != 5 || c.AckWait != 45*time.Second || c.MaxRetries != 0 || c.RequestsMaxBytes != 64<<20 || len(c.APIKeys) != 2 {
		t.Errorf("environment over file over defaults: got %d, %s, %d, %s, %d keys", c.Concurrency, c.AckWait, c.MaxRetries, c.RequestsMaxBytes, len(c.APIKeys))
	}
	_, _, err = config.Load(write("bad.yaml", "worker_concurency: 9\nack_wait: soon\n"))
	if !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), "worker_concurency") || !strings.Contains(err.Error(), "soon") {
		t.Errorf("a misspelt key and a bad value: got %v", err)
	}
	if _, _, err := config.Load(filepath.Join(dir, "none.yaml")); !errors.Is(err, config.ErrInvalid) {
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
	c, _, err := config.Load("")
	if err != nil {
		t.Fatal(err)
	}
	if strings.Join(c.APIKeys, " ") != "sk-or-a sk-or-b sk-or-c" || c.Password != "secret" {
		t.Errorf("keys %q, password %q", c.APIKeys, c.Password)
	}
}

func TestMasksSecrets(t *testing.T) {
	t.Setenv("OPENROUTER_API_KEYS", "sk-or-v1-0123456789abcdef,sk-or-short")
	t.Setenv("NATS_PASSWORD", "hunter2")
	t.Setenv("NATS_URL", "nats://user:pass@a:4222,nats://b:4222")
	t.Setenv("HTTP_PROXY", "socks5://me:mine@hysteria2:1080")
	c, _, err := config.Load("")
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
	c, _, err := config.Load("")
	if err != nil {
		t.Fatalf("the defaults do not load: %v", err)
	}
	return c
}

// A file's zero is a value, and not a wish for the default.
func TestFileZeros(t *testing.T) {
	t.Setenv("RETRY_WAIT_MAX", "1s")
	path := filepath.Join(t.TempDir(), "zeros.yaml")
	if err := os.WriteFile(path, []byte("nats_provision: false\nretry_wait_max: 0s\nshutdown_timeout: 0s\nhttp_addr: \"\"\ncallback_allow: []\nmodels_allow: [\"google/*\"]\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	c, _, err := config.Load(path)
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
	_, _, err := config.Load(path)
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
	if _, _, err := config.Load(path); !errors.Is(err, config.ErrInvalid) || !strings.Contains(err.Error(), path) {
		t.Errorf("a file that holds a list: got %v", err)
	}
}

// Every value that cannot be parsed says what it should look like, and those
// that can be are read all the same.
func TestValuesBesideAProblem(t *testing.T) {
	for name, value := range map[string]string{"ACK_WAIT": "30", "WORKER_CONCURRENCY": "7", "OPENROUTER_MODEL": " ", "GEMINI_MODEL_TEXT": "gemini-2.5-pro", "NATS_EMBEDDED": "2", "MODELS_ALLOW": " google/* , ,x/y,"} {
		t.Setenv(name, value)
	}
	c, warnings, err := config.Load("")
	for _, want := range []string{"ACK_WAIT=30: want a time with its unit", "NATS_EMBEDDED=2: want true or false"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("%q is not in the message:\n%v", want, err)
		}
	}
	if c.Concurrency != 7 || c.Model != "gemini-2.5-pro" || len(warnings) != 1 || strings.Join(c.ModelsAllow, " ") != "google/* x/y" || c.BaseURL == "" {
		t.Errorf("the other values: got %d, %s, %q, %q, %s", c.Concurrency, c.Model, warnings, c.ModelsAllow, c.BaseURL)
	}
}

// What OPENROUTER_BASE_URL may be. `config` and `serve` both ask Endpoint.
func TestEndpoint(t *testing.T) {
	t.Parallel()
	const realKey = "sk-or-v1-real"
	tests := map[string]struct{ url, key, says string }{ // says: of the error; "" = valid
		"OpenRouter":               {"https://openrouter.ai/api/v1", realKey, ""},
		"trailing slash":           {"https://openrouter.ai/api/v1/", realKey, ""},
		"loopback":                 {"http://127.8.9.10:8080/api/v1", realKey, ""},
		"loopback IPv6":            {"http://[::1]:8080/api/v1/", realKey, ""},
		"localhost":                {"http://LOCALHOST/api/v1", realKey, ""},
		"clear text":               {"http://openrouter.ai/api/v1", realKey, "unencrypted"},
		"clear text, no real key":  {"http://simulator:8080/api/v1", "sk-or-demo", ""},
		"clear text to an address": {"http://10.0.0.1/api/v1", realKey, "unencrypted"},
		"looks like loopback":      {"http://127.0.0.1.evil.example/", realKey, "unencrypted"},
		"no URL":                   {"openrouter.ai/api", "", "want an http or https URL"},
		"nothing":                  {"", "", "want an http or https URL"},
		"a path":                   {"/", "", "want an http or https URL"},
		"broken URL":               {"https://u:hunter2@open router/", "", "want an http or https URL"},
		"a password":               {"https://u:hunter2@openrouter.ai/", "", "user or a password"},
		"other scheme":             {"ftp://openrouter.ai/", "", "want an http or https URL"},
		"query":                    {"https://openrouter.ai/?a=b", "", "query"},
		"empty query":              {"https://openrouter.ai/?", "", "query"},
		"fragment":                 {"https://openrouter.ai/#x", "", "fragment"},
		"opaque":                   {"https:openrouter.ai", "", "want an http or https URL"},
		"no host, only a port":     {"https://:443/api", "", "want an http or https URL"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			u, err := config.OpenRouter{BaseURL: tt.url, APIKeys: config.List{tt.key}}.Endpoint()
			switch {
			case tt.says == "" && err != nil:
				t.Errorf("%s: got %v", tt.url, err)
			case tt.says == "" && strings.HasSuffix(u.String(), "/"):
				t.Errorf("%s: got %s, want no slash at the end", tt.url, u)
			case tt.says != "" && (err == nil || !strings.Contains(err.Error(), tt.says) || !strings.HasPrefix(err.Error(), "OPENROUTER_BASE_URL=")):
				t.Errorf("%s: got %v, want %q", tt.url, err, tt.says)
			case err != nil && strings.Contains(err.Error(), "hunter2"):
				t.Errorf("%s: the error shows the password: %v", tt.url, err)
			}
		})
	}
}

func TestMaskURL(t *testing.T) {
	t.Parallel()
	for url, want := range map[string]string{
		"nats://127.0.0.1:4222":           "nats://127.0.0.1:4222",
		"nats://user:pass@a:4222":         "nats://****@a:4222",
		"nats://token@a,b:4222,tls://u@c": "nats://****@a,b:4222,tls://****@c",
		"user:pass@host:4222":             "****@host:4222",
		"nats://u:p@ss@word@host":         "nats://****@host",
		"nats://u:p@bad host":             "nats://****@bad host",
		"":                                "",
	} {
		if got := config.MaskURL(url); got != want {
			t.Errorf("%s: got %s, want %s", url, got, want)
		}
	}
}

// Attribution is sent in headers, which cannot carry everything.
func TestHeaderValues(t *testing.T) {
	t.Setenv("OPENROUTER_SITE_NAME", "a\nb")
	t.Setenv("OPENROUTER_SITE_URL", "a\x7fb")
	_, _, err := config.Load("")
	if err == nil || !strings.Contains(err.Error(), "OPENROUTER_SITE_NAME") || !strings.Contains(err.Error(), "OPENROUTER_SITE_URL") {
		t.Errorf("got %v", err)
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
	if _, _, err := config.Load(""); err == nil || !strings.Contains(err.Error(), "OPENROUTER_API_KEYS_FILE: ") || !strings.Contains(err.Error(), "NATS_PASSWORD_FILE: ") {
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
