package config_test

import (
	"strings"
	"testing"

	"gemini-client/service/config"
)

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
		if _, _, err := config.Load("", ""); (err == nil) != c.ok {
			t.Errorf("%s with %s: got %v, want ok %v", c.url, c.key, err, c.ok)
		}
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
		"nats://u:p,w@host":               "nats://****@host",
		"nats://u:p/w@host,nats://b":      "nats://****@host,nats://b",
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
	_, _, err := config.Load("", "")
	if err == nil || !strings.Contains(err.Error(), "OPENROUTER_SITE_NAME") || !strings.Contains(err.Error(), "OPENROUTER_SITE_URL") {
		t.Errorf("got %v", err)
	}
}
