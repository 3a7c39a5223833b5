package main

import (
	"encoding/json"
	"net/http"
	"net/http/httptest"
	"strings"
	"testing"
	"time"

	"gemini-client/service/doctor"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// The exit code says the worst that was found, and --json has every check.
func TestDoctor(t *testing.T) {
	t.Parallel()
	p, or, _ := serving(t)
	code, out, errs := p.invoke("", "doctor")
	if code != 0 || errs != "" || !strings.Contains(out, "\nAll right, seen as worker: ") {
		t.Fatalf("a healthy one: exit code %d: %s%s", code, out, errs)
	}
	code, out, _ = p.invoke("", "doctor", "--json", "--as", "admin")
	var report doctor.Report
	if err := json.Unmarshal([]byte(out), &report); err != nil || code != 0 || report.Status != doctor.OK || report.As != "admin" || len(report.Checks) < 12 {
		t.Errorf("--json: exit code %d, %v: %s", code, err, out)
	}
	if n := or.Count(); n != 0 {
		t.Errorf("OpenRouter was called %d times", n)
	}

	or.SetKey(servicetest.Key, simulator.KeySettings{ExpiresAt: time.Now().Add(time.Hour)})
	if code, out, errs = p.invoke("", "doctor"); code != 1 || errs != "" || !strings.Contains(out, "It works, with warnings") || !strings.Contains(out, "> make a new key") {
		t.Errorf("a warning: exit code %d: %s%s", code, out, errs)
	}
	p.set("NATS_URL", "nats://127.0.0.1:1")
	if code, out, errs = p.invoke("", "doctor"); code != 2 || errs != "" || !strings.Contains(out, "Something is wrong") || !strings.Contains(out, "fail  server") {
		t.Errorf("a failure: exit code %d: %s%s", code, out, errs)
	}
	if code, out, _ = p.invoke("", "doctor", "--json"); code != 2 || !strings.Contains(out, `"status":"fail"`) {
		t.Errorf("a failure as JSON: exit code %d: %s", code, out)
	}
	p.set("ACK_WAIT", "1s")
	p.set("LOG_FORMAT", "x")
	if code, out, _ = p.invoke("", "doctor"); code != 2 || !strings.Contains(out, "- ACK_WAIT=1s: want") || !strings.Contains(out, "- LOG_FORMAT=x: want") {
		t.Errorf("bad settings: exit code %d: %s", code, out)
	}
	if code, _, errs = p.invoke("", "doctor", "--as", "nobody"); code != 2 || !strings.Contains(errs, "want one of worker, admin, backend") {
		t.Errorf("--as nobody: exit code %d: %s", code, errs)
	}
}

// The users of nats.conf, each by its own settings.
func TestDoctorOfTheStack(t *testing.T) {
	t.Parallel()
	n, or := servicetest.RunStackNATS(t), servicetest.RunOpenRouter(t, simulator.Config{})
	as := func(user, api string) *program {
		return newProgram(t, map[string]any{
			"NATS_URL": n.URL, "NATS_USER": user, "NATS_PASSWORD": user, "NATS_INBOX_PREFIX": "_INBOX_" + user, "NATS_JS_API_PREFIX": api,
			"NATS_PROVISION": false, "OPENROUTER_BASE_URL": or.URL,
		})
	}
	admin, backend, worker := as("admin", "$JS.API"), as("backend", "gemini.js"), as("worker", "gemini.js")
	worker.set("OPENROUTER_API_KEYS", []string{servicetest.Key})
	if code, out, _ := worker.invoke("", "doctor"); code != 2 || !strings.Contains(out, "stream GEMINI_REQUESTS is missing") || !strings.Contains(out, "> `gemini-client provision`") {
		t.Errorf("before provision: exit code %d: %s", code, out)
	}
	if code, _, errs := admin.invoke("", "provision"); code != 0 {
		t.Fatalf("exit code %d: %s", code, errs)
	}
	for role, p := range map[string]*program{"admin": admin, "backend": backend, "worker": worker} {
		if code, out, errs := p.invoke("", "doctor", "--as", role); code != 0 {
			t.Errorf("%s: exit code %d: %s%s", role, code, out, errs)
		}
	}
}

// A collector that is away, or refuses, is a warning: spans are lost, and no request.
func TestDoctorAndTheCollector(t *testing.T) {
	asked := make(chan string, 10)
	status := http.StatusOK
	collector := httptest.NewServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		asked <- r.URL.Path
		w.WriteHeader(status)
	}))
	t.Cleanup(collector.Close)
	p, _, _ := serving(t)
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", collector.URL)
	if code, out, _ := p.invoke("", "doctor"); code != 0 || !strings.Contains(out, "(http/protobuf) takes them") {
		t.Errorf("exit code %d: %s", code, out)
	}
	if path := <-asked; path != "/v1/traces" {
		t.Errorf("asked for %s", path)
	}
	status = http.StatusUnauthorized
	if code, out, _ := p.invoke("", "doctor"); code != 1 || !strings.Contains(out, "warn  traces") || !strings.Contains(out, "401") {
		t.Errorf("it refuses: exit code %d: %s", code, out)
	}
	t.Setenv("OTEL_EXPORTER_OTLP_ENDPOINT", "http://me:hunter2@127.0.0.1:1")
	if code, out, _ := p.invoke("", "doctor"); code != 1 || !strings.Contains(out, "connection refused") || !strings.Contains(out, "OTEL_EXPORTER_OTLP_ENDPOINT") || strings.Contains(out, "hunter2") {
		t.Errorf("it is away: exit code %d: %s", code, out)
	}
}
