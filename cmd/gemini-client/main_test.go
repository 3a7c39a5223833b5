package main

import (
	"bytes"
	"context"
	"encoding/json"
	"fmt"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// asProgram is the variable that makes this test binary the program: see programPath.
const asProgram = "GEMINI_CLIENT_IN_A_TEST"

func TestMain(m *testing.M) {
	if os.Getenv(asProgram) != "" {
		main()
	}
	servicetest.VerifyTestMain(m)
}

// output is a standard stream that tests may read while it is written.
type output struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (o *output) Write(p []byte) (int, error) {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.Write(p)
}

func (o *output) String() string {
	o.mu.Lock()
	defer o.mu.Unlock()
	return o.text.String()
}

// invoke runs the program to its end, as a shell would.
func invoke(t *testing.T, stdin string, args ...string) (code int, stdout, stderr string) {
	t.Helper()
	var out, err output
	ctx, cancel := context.WithTimeout(t.Context(), servicetest.Patience)
	defer cancel()
	code = run(ctx, args, streams{strings.NewReader(stdin), &out, &err})
	return code, out.String(), err.String()
}

// await returns an attribute of the log line with this message.
func await(t *testing.T, out *output, message, key string) string {
	t.Helper()
	tick := time.NewTicker(5 * time.Millisecond)
	defer tick.Stop()
	limit := time.NewTimer(servicetest.Patience)
	defer limit.Stop()
	for {
		for line := range strings.Lines(out.String()) {
			var entry map[string]any
			if json.Unmarshal([]byte(line), &entry) == nil && entry["msg"] == message {
				return fmt.Sprint(entry[key])
			}
		}
		select {
		case <-tick.C:
		case <-limit.C:
			t.Fatalf("no line %q in:\n%s", message, out)
		}
	}
}

func TestServeAndAsk(t *testing.T) { //nolint:tparallel // the subtests count the calls
	t.Parallel()
	p, or, stop := serving(t)

	t.Run("an answer", func(t *testing.T) {
		code, out, errs := p.invoke("", "ask", "Why", "is it", "blue?")
		if code != 0 || errs != "" {
			t.Fatalf("exit code %d, stderr %q", code, errs)
		}
		for _, want := range []string{`simulated answer to "Why is it blue?"`, "tokens in", "$0.000", "trace "} {
			if strings.Count(out, want) != 1 {
				t.Errorf("%q is not there exactly once:\n%s", want, out)
			}
		}
		if strings.ContainsRune(out, '\x1b') {
			t.Errorf("colours without a terminal: %q", out)
		}
	})
	t.Run("the bare event, prompt from stdin", func(t *testing.T) {
		code, out, _ := p.invoke("from a pipe", "ask", "--json", "--temperature", "0", "--max-tokens", "64", "--system", "be brief", "--model", "gemini-2.5-pro")
		r, err := events.DecodeResult([]byte(out))
		if code != 0 || err != nil || r.Status != events.StatusSuccess {
			t.Fatalf("exit code %d, %v: %s", code, err, out)
		}
		calls := or.Calls()
		body := string(calls[len(calls)-1].Body)
		for _, want := range []string{`"temperature":0,`, `"max_tokens":64`, `"be brief"`, `"google/gemini-2.5-pro"`, "from a pipe"} {
			if !strings.Contains(body, want) {
				t.Errorf("OpenRouter was not asked with %s: %s", want, body)
			}
		}
	})
	t.Run("the same id again", func(t *testing.T) {
		id := servicetest.NewID()
		_, first, _ := p.invoke("", "ask", "--json", "--id", id, "once")
		before := or.Count()
		code, again, _ := p.invoke("", "ask", "--json", "--id", id, "once")
		if code != 0 || again != first || or.Count() != before {
			t.Errorf("exit code %d, %d more calls:\n%s%s", code, or.Count()-before, first, again)
		}
	})
	t.Run("a failure", func(t *testing.T) {
		code, out, _ := p.invoke("", "ask", "no [sim:403_moderation]")
		if code != 1 || !strings.Contains(out, "failed (content_filtered)") {
			t.Errorf("exit code %d: %s", code, out)
		}
		if code, out, _ = p.invoke("", "ask", "--json", "no [sim:403_moderation]"); code != 1 || !strings.Contains(out, `"error_code":"content_filtered"`) {
			t.Errorf("--json: exit code %d: %s", code, out)
		}
	})
	t.Run("an answer that begins again", func(t *testing.T) {
		code, out, _ := p.invoke("", "ask", "hm [sim:truncate after=2 times=1]")
		if code != 0 || !strings.Contains(out, "[the answer begins again]") {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
	t.Run("events", func(t *testing.T) {
		code, out, _ := p.invoke("", "ask", "--events", "show me")
		if code != 0 || !strings.Contains(out, "--> gemini.requests") || !strings.Contains(out, "<-- gemini.responses.completed.") {
			t.Errorf("exit code %d: %s", code, out)
		}
	})
	t.Run("provision", func(t *testing.T) {
		code, out, errs := p.invoke("", "provision")
		if code != 0 || !strings.Contains(out, "GEMINI_DEADLETTERS") {
			t.Errorf("exit code %d: %s%s", code, out, errs)
		}
	})
	if code := stop(); code != 0 {
		t.Errorf("serve: exit code %d", code)
	}
}

func TestNothingToAsk(t *testing.T) {
	if code, _, errs := invoke(t, " \n", "ask"); code != 2 || !strings.Contains(errs, "there is no prompt") {
		t.Errorf("exit code %d: %s", code, errs)
	}
	if code, _, errs := invoke(t, "", "ask", "--id", "42", "x"); code != 2 || !strings.Contains(errs, "want a UUID") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestServeNeedsAKey(t *testing.T) {
	code, _, errs := invoke(t, "", "serve", "--embedded")
	if code != 2 || !strings.Contains(errs, "OPENROUTER_API_KEYS") || !strings.Contains(errs, "https://openrouter.ai/settings/keys") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestBadConfigurationIsReportedWhole(t *testing.T) {
	t.Setenv("WORKER_CONCURRENCY", "0")
	t.Setenv("ACK_WAIT", "soon")
	t.Setenv("LOG_FORMAT", "xml")
	for _, command := range []string{"serve", "ask", "provision", "config"} {
		code, _, errs := invoke(t, "", command)
		if code != 2 || !strings.Contains(errs, "WORKER_CONCURRENCY") || !strings.Contains(errs, "ACK_WAIT") || !strings.Contains(errs, "LOG_FORMAT") {
			t.Errorf("%s: exit code %d: %s", command, code, errs)
		}
	}
}

func TestBadTelemetryConfiguration(t *testing.T) {
	t.Setenv("OPENROUTER_API_KEYS", servicetest.Key)
	t.Setenv("OTEL_TRACES_EXPORTER", "pigeon")
	for _, command := range []string{"serve", "config"} {
		if code, _, errs := invoke(t, "", command); code != 2 || !strings.Contains(errs, "OTEL_TRACES_EXPORTER") {
			t.Errorf("%s: exit code %d: %s", command, code, errs)
		}
	}
}

func TestPortsThatAreTaken(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t)
	p := newProgram(t, map[string]any{
		"OPENROUTER_API_KEYS": []string{servicetest.Key}, "NATS_URL": n.URL, "NATS_STORE_DIR": t.TempDir(), "HTTP_ADDR": strings.TrimPrefix(n.URL, "nats://"),
	})
	if code, _, errs := p.invoke("", "serve"); code != 2 || !strings.Contains(errs, "HTTP_ADDR") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestEmbeddedListensOnLoopbackOnly(t *testing.T) {
	t.Setenv("OPENROUTER_API_KEYS", servicetest.Key)
	t.Setenv("NATS_URL", "nats://0.0.0.0:4222")
	if code, _, errs := invoke(t, "", "serve", "--embedded"); code != 2 || !strings.Contains(errs, "loopback") {
		t.Errorf("exit code %d: %s", code, errs)
	}
}

func TestConfigCommand(t *testing.T) {
	t.Setenv("OPENROUTER_API_KEYS", "sk-or-v1-0123456789abcdef")
	t.Setenv("GEMINI_MODEL_TEXT", "gemini-2.5-flash")
	t.Setenv("OPENROUTER_BASE_URL", nowhere)
	code, out, errs := invoke(t, "", "config")
	if code != 0 || !strings.Contains(out, "****cdef") || strings.Contains(out, "0123456789") || !strings.Contains(errs, "deprecated") {
		t.Errorf("exit code %d:\n%s%s", code, out, errs)
	}
}

// config ends with when the models expire, as OpenRouter's catalogue has it.
func TestConfigTellsExpiry(t *testing.T) {
	t.Parallel()
	router := servicetest.RunOpenRouter(t, simulator.Config{Expirations: map[string]string{"google/gemini-2.5-flash": "2999-12-31"}})
	p := newProgram(t, map[string]any{"OPENROUTER_API_KEYS": []string{servicetest.Key}, "OPENROUTER_BASE_URL": router.URL})
	if code, out, errs := p.invoke("", "config"); code != 0 || !strings.Contains(out, "model google/gemini-2.5-flash expires on 2999-12-31, in ") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	p.set("OPENROUTER_BASE_URL", nowhere)
	if code, out, errs := p.invoke("", "config"); code != 0 || !strings.Contains(out, "model google/gemini-2.5-flash: not known, OpenRouter could not be asked") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	p.set("OPENROUTER_API_KEYS", []string{})
	if code, out, errs := p.invoke("", "config"); code != 0 || !strings.Contains(out, "model google/gemini-2.5-flash: not looked up") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
}

// What one of them refuses the other refuses too.
func TestConfigAndServeAgree(t *testing.T) {
	t.Parallel()
	for name, values := range map[string][]string{
		"OPENROUTER_BASE_URL":  {"https://user:pass@host", "https://host/?a=b", "ftp://host", "https://host/api"},
		"NATS_EMBEDDED":        {"127.0.0.1:0", "nats://localhost:0", "nats://127.0.0.1:0,nats://127.0.0.1:1", "nats://10.0.0.1:1", "tls://127.0.0.1:0"}, // its NATS_URL
		"HTTP_PROXY":           {"ftp://proxy", "http://:8080", "http://proxy:8080", "socks5h://proxy"},
		"NATS_URL":             {"nats://bad host", "http://127.0.0.1:1", "127.0.0.1:1", "nats://127.0.0.1:1, tls://127.0.0.1:2/", "nats://me:a/b@127.0.0.1:1"},
		"OPENROUTER_SITE_NAME": {"a\nb", "Ünit"},
		"NATS_TLS_CA":          {"/no/such/file"},
		"TRACE_MODE":           {"sideways", "LINK"},
		"LOG_LEVEL":            {"LOUD", "warning"},
	} {
		for _, value := range values {
			t.Run(name+"="+value, func(t *testing.T) {
				t.Parallel()
				p := newProgram(t, map[string]any{"OPENROUTER_API_KEYS": []string{servicetest.Key}, "NATS_URL": "nats://127.0.0.1:1", "HTTP_ADDR": "127.0.0.1:0", "NATS_STORE_DIR": t.TempDir(), name: value})
				if name == "NATS_EMBEDDED" {
					p.set("NATS_EMBEDDED", true)
					p.set("NATS_URL", value)
				}
				out, stop := p.start("serve")
				b := servicetest.Backend{T: t}
				b.Until("serve has refused it, waits for NATS, or has its embedded streams", func() (string, bool) {
					text := out.String()
					return text, strings.Contains(text, "bad configuration") || strings.Contains(text, "not reachable") || strings.Contains(text, "answering requests")
				})
				serves := stop()
				if shown, text, errs := p.invoke("", "config"); (shown == 0) != (serves == 0) {
					t.Errorf("config exits with %d, serve with %d:\n%s%s%s", shown, serves, text, errs, out)
				}
			})
		}
	}
}

func TestHelp(t *testing.T) {
	for _, args := range [][]string{{"--help"}, {"serve", "--help"}, {"ask", "--help"}, {"provision", "--help"}, {"config", "--help"}, {"version"}} {
		if code, out, errs := invoke(t, "", args...); code != 0 || out == "" || errs != "" {
			t.Errorf("%v: exit code %d: %s%s", args, code, out, errs)
		}
	}
	if code, _, errs := invoke(t, "", "sever"); code != 2 || !strings.Contains(errs, "serve") {
		t.Errorf("a misspelt command: exit code %d: %s", code, errs)
	}
}
