package doctor_test

import (
	"errors"
	"fmt"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gemini-client/service/config"
	"gemini-client/service/doctor"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

const secondKey = "sk-or-test-fedcba9876543210"

// broken is a deployment whose NATS is not what it is about.
func broken(t *testing.T, sim simulator.Config) *bench {
	t.Helper()
	c, _, err := config.Load("", "")
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{t: t, or: servicetest.RunOpenRouter(t, sim)}
	c.BaseURL, c.APIKeys, c.NATS.URL = b.or.URL, []string{servicetest.Key}, "nats://127.0.0.1:1"
	b.o = doctor.Options{Config: c, As: "worker", Memory: config.Memory{Go: 900 << 20, Container: 1 << 30}, Now: time.Now}
	return b
}

func TestModels(t *testing.T) {
	t.Parallel()
	day := func(days int) string { return time.Now().AddDate(0, 0, days).Format(time.DateOnly) }
	b := broken(t, simulator.Config{Expirations: map[string]string{"google/gemini-2.5-flash": day(-2), "google/gemini-3.5-flash-lite": day(10), "google/gemini-2.5-pro": day(200)}})
	r := b.look()
	want(t, r, "model", doctor.Fail, "google/gemini-2.5-flash has expired on "+day(-2), "OPENROUTER_MODEL")
	want(t, r, "fallback", doctor.Warn, "google/gemini-3.5-flash-lite expires on "+day(10), "OPENROUTER_FALLBACK_MODELS")
	b.o.Config.Model = "google/gemini-2.5-pro"
	want(t, b.look(), "model", doctor.OK, "is offered, until "+day(200))
	b.or.Retire("google/gemini-2.5-pro", simulator.RetiredUnknown)
	want(t, b.look(), "model", doctor.Fail, "OpenRouter does not offer google/gemini-2.5-pro", "set OPENROUTER_MODEL")
}

func TestKeys(t *testing.T) {
	t.Parallel()
	b := broken(t, simulator.Config{})
	dollars := func(usd float64) *float64 { return &usd }
	for name, tt := range map[string]struct {
		settings simulator.KeySettings
		status   doctor.Status
		words    []string
	}{
		"empty account":   {simulator.KeySettings{Limit: dollars(10), Spent: 10}, doctor.Fail, []string{"it is empty: 0.00 of 10.00 USD left", "raise its limit"}},
		"nearly empty":    {simulator.KeySettings{Limit: dollars(100), Spent: 99, Reset: "monthly"}, doctor.Warn, []string{"it is nearly empty: 1.00 of 100.00 USD left (monthly)"}},
		"about to expire": {simulator.KeySettings{ExpiresAt: time.Now().Add(72*time.Hour + time.Minute)}, doctor.Warn, []string{"in 72h", "make a new key", "OPENROUTER_API_KEYS_FILE"}},
		"expired":         {simulator.KeySettings{ExpiresAt: time.Now().Add(-time.Hour)}, doctor.Fail, []string{"OpenRouter refuses it: status 401"}},
	} {
		b.or.SetKey(servicetest.Key, tt.settings)
		t.Log(name)
		r := b.look()
		want(t, r, "key …cdef", tt.status, tt.words...)
		if tt.status == doctor.Fail {
			want(t, r, "models", doctor.Skip, "no key is usable")
		}
	}
	b.o.Config.APIKeys = []string{servicetest.Key, secondKey}
	r := b.look()
	want(t, r, "key …3210", doctor.OK)
	want(t, r, "model", doctor.OK)
	b.or.SetKey(servicetest.Key, simulator.KeySettings{Limit: dollars(1), Spent: 2})
	want(t, b.look(), "key …cdef", doctor.Warn, "it is empty") // the other one is used
}

func TestKeyIsRefused(t *testing.T) {
	t.Parallel()
	b := broken(t, simulator.Config{Keys: []string{secondKey}})
	want(t, b.look(), "key …cdef", doctor.Fail, "OpenRouter refuses it: status 401", "make a new key")
	b.o.Config.APIKeys = nil
	want(t, b.look(), "keys", doctor.Fail, "OPENROUTER_API_KEYS is not set")
}

func TestProxy(t *testing.T) {
	t.Parallel()
	b := broken(t, simulator.Config{})
	b.o.Config.BaseURL = "https://openrouter.invalid/api/v1"
	refuses := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, _ *http.Request) { w.WriteHeader(http.StatusForbidden) }))
	t.Cleanup(refuses.Close)
	b.o.Config.HTTPProxy = strings.Replace(refuses.URL, "//", "//me:hunter2@", 1)
	r := b.look()
	want(t, r, "proxy", doctor.Fail, "does not let calls through: the proxy answered 403", "HTTP_PROXY", "****@127.0.0.1")
	want(t, r, "base URL", doctor.Skip, "the proxy")
	want(t, r, "models", doctor.Skip)
	for _, scheme := range []string{"http", "socks5"} {
		b.o.Config.HTTPProxy = scheme + "://127.0.0.1:1"
		want(t, b.look(), "proxy", doctor.Fail, "connection refused", "see whether the proxy runs")
	}
	b.o.Config.HTTPProxy = ""
	r = b.look()
	want(t, r, "proxy", doctor.Skip, "none is used")
	want(t, r, "base URL", doctor.Fail, "https://openrouter.invalid/api/v1 is not reached", "no such host", "DNS")
}

// An upstream that is not OpenRouter, hangs, is hostile.
func TestHostileUpstream(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		answer http.HandlerFunc
		check  string
		status doctor.Status
		words  string
	}{
		"an edge's page":  {answering(403, "<html>blocked "+servicetest.Key+"</html>"), "base URL", doctor.Fail, "does not answer as OpenRouter's API"},
		"failing":         {answering(503, `{"error":{"code":503,"message":"down"}}`), "base URL", doctor.Fail, "status 503: down"},
		"no JSON":         {answering(200, "hello"), "base URL", doctor.OK, ""},
		"huge":            {answering(200, `{"data":"`+strings.Repeat("x", 3<<20)), "key …cdef", doctor.Warn, "too large"},
		"echoes the key":  {answering(401, `{"error":{"code":401,"message":"bad key `+servicetest.Key+` \u001b[31m"}}`), "key …cdef", doctor.Fail, "refuses it"},
		"nothing of keys": {answering(404, `{"error":{"code":404,"message":"Not Found"}}`), "model", doctor.Fail, "is OPENROUTER_BASE_URL right"},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := broken(t, simulator.Config{})
			server := httptest.NewServer(tt.answer)
			t.Cleanup(server.Close)
			b.o.Config.BaseURL = server.URL
			r := b.look()
			want(t, r, tt.check, tt.status, tt.words)
			if strings.ContainsRune(page(r), '\x1b') {
				t.Errorf("a control character: %q", page(r))
			}
		})
	}
}

func answering(status int, body string) http.HandlerFunc {
	return func(w http.ResponseWriter, _ *http.Request) {
		w.WriteHeader(status)
		_, _ = w.Write([]byte(body))
	}
}

func TestMemory(t *testing.T) {
	t.Parallel()
	b := broken(t, simulator.Config{})
	for name, tt := range map[string]struct {
		memory config.Memory
		slots  int
		budget config.Size
		status doctor.Status
		words  string
	}{
		"as the stack has it":     {config.Memory{Go: 1800 << 20, Container: 2 << 30}, 100, 0, doctor.OK, "1800 MiB for 100 slots, of these 900 MiB"},
		"a container alone":       {config.Memory{Container: 1000 << 20}, 100, 0, doctor.OK, "900 MiB for 100 slots, of these 450 MiB"},
		"a machine":               {config.Memory{Machine: 8 << 30}, 100, 0, doctor.OK, "8 GiB"},
		"nothing known":           {config.Memory{}, 100, 0, doctor.Skip, "not known"},
		"no memory for the slots": {config.Memory{Go: 900 << 20, Container: 1 << 30}, 20000, 0, doctor.Fail, "the slots alone take some 1171 MiB"},
		"little for the slots":    {config.Memory{Go: 900 << 20, Container: 1 << 30}, 10000, 0, doctor.Warn, "more than the budget leaves them"},
		"little for bodies":       {config.Memory{Go: 900 << 20, Container: 1 << 30}, 6000, 0, doctor.Warn, "slots stay empty"},
		"GOMEMLIMIT too high":     {config.Memory{Go: 2 << 30, Container: 1 << 30}, 100, 0, doctor.Fail, "GOMEMLIMIT (2 GiB) is not below the container's limit (1 GiB)"},
		"budget too high":         {config.Memory{Go: 900 << 20, Container: 1 << 30}, 100, 1 << 30, doctor.Fail, "leaves nothing for anything else"},
	} {
		b.o.Memory, b.o.Config.Concurrency, b.o.Config.MemoryBudget = tt.memory, tt.slots, tt.budget
		t.Log(name)
		want(t, b.look(), "memory", tt.status, tt.words)
	}
}

func TestTimeLimits(t *testing.T) {
	t.Parallel()
	b := broken(t, simulator.Config{})
	want(t, b.look(), "time limits", doctor.OK, "SHUTDOWN_TIMEOUT (25s) after SIGTERM is cut")
	b.o.Config.CallTimeout = 20 * time.Second
	want(t, b.look(), "time limits", doctor.Warn, "FIRST_TOKEN_TIMEOUT (1m0s) is above CALL_TIMEOUT (20s)", "TOKEN_GAP_TIMEOUT")
	b.o.Config.FirstTokenTimeout, b.o.Config.TokenGapTimeout = time.Second, time.Second
	want(t, b.look(), "time limits", doctor.OK, "lets each finish")
}

// Settings that are not valid are named at once, and no key goes anywhere.
func TestInvalidSettings(t *testing.T) {
	t.Parallel()
	b := broken(t, simulator.Config{})
	b.o.Invalid = fmt.Errorf("%w:\n%w", config.ErrInvalid, errors.Join(errors.New("ACK_WAIT=1s: want 3s to 1h0m0s"), errors.New("LOG_FORMAT=x: want one of [text json]")))
	r := b.look()
	want(t, r, "settings", doctor.Fail, "\nACK_WAIT=1s: want", "\nLOG_FORMAT=x: want")
	want(t, r, "server", doctor.Fail)
	want(t, r, "keys", doctor.Skip, "the settings are not valid")
	b.o.Invalid, b.o.Warnings = nil, []string{"GEMINI_API_KEYS is deprecated"}
	want(t, b.look(), "settings", doctor.Warn, "GEMINI_API_KEYS is deprecated")
}
