package config_test

import (
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gemini-client/service/config"
)

// contexts are a directory of the nats CLI's, in this test's environment.
func contexts(t *testing.T, files map[string]string) (directory string) {
	t.Helper()
	home := t.TempDir()
	t.Setenv("XDG_CONFIG_HOME", home)
	directory = filepath.Join(home, "nats", "context")
	if err := os.MkdirAll(directory, 0o700); err != nil {
		t.Fatal(err)
	}
	for name, text := range files {
		if err := os.WriteFile(filepath.Join(directory, name), []byte(text), 0o600); err != nil {
			t.Fatal(err)
		}
	}
	return directory
}

// What a context says goes over a YAML file and the defaults, a variable over the
// context, and the flag over NATS_CONTEXT.
func TestContext(t *testing.T) {
	directory := contexts(t, map[string]string{
		"prod.json":   `{"url":"nats://prod:4222","user":"me","password":"hunter2","inbox_prefix":"_MINE","jetstream_api_prefix":"gemini.js","color_scheme":""}`,
		"domain.json": `{"url":"nats://leaf:4222,nats://leaf2:4222","jetstream_domain":"leaf"}`,
		"empty.json":  `{}`,
	})
	if err := os.WriteFile(filepath.Join(directory, "..", "context.txt"), []byte("prod"), 0o600); err != nil {
		t.Fatal(err)
	}
	file := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(file, []byte("nats_url: nats://file:4222\nnats_user: filed\nnats_password: hidden\nnats_tls_first: true\nnats_replicas: 3\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	in := func(flag string, variables ...string) string {
		t.Helper()
		for i := 0; i < len(variables); i += 2 {
			t.Setenv(variables[i], variables[i+1])
			defer os.Unsetenv(variables[i])
		}
		c, _, err := config.Load(file, flag)
		if err != nil {
			t.Fatal(err)
		}
		return fmt.Sprintf("%q %s %s %s %s %s %v %d", c.Context, c.NATS.URL, c.User, c.Password, c.InboxPrefix, c.API("INFO"), c.TLSFirst, c.Replicas)
	}
	for _, tt := range []struct{ name, got, want string }{
		{"none is selected", in(""), `"" nats://file:4222 filed hidden _INBOX $JS.API.INFO true 3`},
		{"the flag", in("prod"), `"prod" nats://prod:4222   _MINE gemini.js.INFO false 3`},
		{"the variable", in("", "NATS_CONTEXT", "domain"), `"domain" nats://leaf:4222,nats://leaf2:4222   _INBOX $JS.leaf.API.INFO false 3`},
		{"both", in("prod", "NATS_CONTEXT", "domain"), `"prod" nats://prod:4222   _MINE gemini.js.INFO false 3`},
		{"a blank variable", in("", "NATS_CONTEXT", " "), `"" nats://file:4222 filed hidden _INBOX $JS.API.INFO true 3`},
		{"it says nothing", in("empty"), `"empty" nats://127.0.0.1:4222   _INBOX $JS.API.INFO false 3`},
		{"a path", in(filepath.Join(directory, "domain.json"))[len(directory)+len(`"/domain.json"`):], ` nats://leaf:4222,nats://leaf2:4222   _INBOX $JS.leaf.API.INFO false 3`},
		{"variables", in("prod", "NATS_URL", "nats://other:1", "NATS_INBOX_PREFIX", "_OURS", "NATS_JS_API_PREFIX", "other"), `"prod" nats://other:1   _OURS other.INFO false 3`},
		{"another login", in("prod", "NATS_USER", "you", "NATS_PASSWORD", "secret"), `"prod" nats://prod:4222 you secret _MINE gemini.js.INFO false 3`},
		{"a password apart", in("prod", "NATS_PASSWORD", "secret"), `"prod" nats://prod:4222 me secret _MINE gemini.js.INFO false 3`},
	} {
		if tt.got != tt.want {
			t.Errorf("%s: got  %s\nwant %s", tt.name, tt.got, tt.want)
		}
	}
	if names := strings.Join(config.ContextNames(), " "); names != "domain empty prod" {
		t.Errorf("names: %s", names)
	}
}

// What a context lacks is told with its name, its file and the way out, and no password.
func TestContextProblems(t *testing.T) {
	directory := contexts(t, map[string]string{
		"broken.json": `{"url":`, "typed.json": `{"url":["hunter2"]}`, "nsc.json": `{"nsc":"nsc://o/a/u"}`, "jwt.json": `{"user_jwt":"hunter2"}`,
		"windows.json": `{"windows_cert_store":"user"}`, "two.json": `{"jetstream_domain":"a","jetstream_api_prefix":"b"}`,
		"cert.json": `{"cert":"/no/such/cert"}`, "creds.json": `{"creds":"$NOWHERE/no/such/file.creds"}`, "variable.json": `{"creds":"$NOWHERE"}`, "nkey.json": `{"nkey":"~/no/such/file.nk"}`, "ca.json": `{"ca":"/no/such/ca"}`,
		"url.json": `{"url":"nats://me:hunter2@bad host"}`, "proxy.json": `{"socks_proxy":"socks5://me:hunter2@bad host"}`, "http.json": `{"socks_proxy":"http://me:hunter2@proxy"}`,
	})
	if err := os.Mkdir(filepath.Join(directory, "directory.json"), 0o700); err != nil {
		t.Fatal(err)
	}
	for name, wants := range map[string][]string{
		"missing": {"there is no such file", "nats context ls", "lists the contexts: broken, "}, "directory": {"cannot be read"},
		"broken": {"no context file", "nats context edit"}, "typed": {"no context file", "Settings.url"},
		"nsc": {"nsc is not supported"}, "jwt": {"user_jwt is not supported"}, "windows": {"windows_cert_store is not supported"},
		"two": {"exclude each other"}, "cert": {"cert and key belong together", "cert: open /no/such/cert"}, "creds": {"creds: open /no/such/file.creds"}, "variable": {"creds: nothing is left of $NOWHERE"}, "nkey": {"nkey: open /", "no/such/file.nk"},
		"ca": {"ca: open /no/such/ca"}, "url": {"url nats://****@bad host"}, "proxy": {"socks_proxy socks5://****@bad host"}, "http": {"socks_proxy http://****@proxy"},
	} {
		_, _, err := config.Load("", name)
		for _, want := range append(wants, fmt.Sprintf("NATS context %q", name), filepath.Join(directory, name+".json")) {
			if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "hunter2") {
				t.Errorf("%s: %v, want %q and no password", name, err, want)
			}
		}
	}
	for _, name := range []string{"../prod", "a/b"} {
		if _, _, err := config.Load("", name); err == nil || !strings.Contains(err.Error(), "want a context's name, or its file's path") {
			t.Errorf("%s: %v", name, err)
		}
	}
	t.Setenv("NATS_EMBEDDED", "true")
	contexts(t, map[string]string{"prod.json": `{}`})
	if _, _, err := config.Load("", "prod"); err == nil || !strings.Contains(err.Error(), "exclude each other") {
		t.Errorf("embedded: %v", err)
	}
}

// Whatever a context's file holds, it is used or refused as a bad configuration.
func FuzzContext(f *testing.F) {
	for _, text := range []string{`{}`, `{"url":"nats://a,nats://b","creds":"~"}`, `{"nkey":"~/x","ca":""}`, `{"socks_proxy":"socks5://a:b@c","jetstream_domain":"d"}`, `null`, `[`} {
		f.Add([]byte(text))
	}
	f.Fuzz(func(t *testing.T, text []byte) {
		file := filepath.Join(t.TempDir(), "fuzzed.json")
		if err := os.WriteFile(file, text, 0o600); err != nil {
			t.Fatal(err)
		}
		c, _, err := config.Load("", file)
		switch {
		case err != nil && !errors.Is(err, config.ErrInvalid):
			t.Errorf("%s: %v", text, err)
		case err == nil && (c.NATS.URL == "" || c.InboxPrefix == "" || c.APIPrefix == ""):
			t.Errorf("%s: %+v", text, c.NATS)
		}
	})
}
