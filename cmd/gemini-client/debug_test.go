package main

import (
	"io"
	"net"
	"net/http"
	"runtime/debug"
	"strings"
	"testing"

	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// get returns what an address answers; status 0 if nobody does.
func get(t *testing.T, url string) (status int, body string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, nil)
	if err != nil {
		t.Fatal(err)
	}
	response, err := (&http.Client{Transport: &http.Transport{DisableKeepAlives: true}}).Do(request)
	if err != nil {
		return 0, err.Error()
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	if err != nil {
		t.Fatal(err)
	}
	return response.StatusCode, string(text)
}

// worker is a program that can serve.
func worker(t *testing.T) *program {
	t.Helper()
	return newProgram(t, map[string]any{
		"OPENROUTER_BASE_URL": servicetest.RunOpenRouter(t, simulator.Config{}).URL, "OPENROUTER_API_KEYS": []string{servicetest.Key}, "NATS_URL": servicetest.RunNATS(t).URL,
		"HTTP_ADDR": "127.0.0.1:0", "LOG_FORMAT": "json",
	})
}

// Profiles are served at DEBUG_ADDR and nowhere else, and end with the service.
func TestProfiles(t *testing.T) {
	t.Parallel()
	p := worker(t)
	p.set("DEBUG_ADDR", "127.0.0.1:0")
	out, stop := p.start("serve")
	health, profiles := await(t, out, "serving /healthz, /readyz and /metrics", "address"), await(t, out, "serving /debug/pprof/", "address")
	await(t, out, "answering requests", "model")
	for path, want := range map[string]string{"": "goroutine", "goroutine?debug=1": "gemini-client.serve", "heap": "", "symbol": "num_symbols", "cmdline": "", "profile?seconds=1": "", "trace?seconds=0.01": "go 1."} {
		if status, body := get(t, "http://"+profiles+"/debug/pprof/"+path); status != http.StatusOK || !strings.Contains(body, want) {
			t.Errorf("%s: status %d, want %q in %.200s", path, status, want, body)
		}
	}
	for _, url := range []string{"http://" + health + "/debug/pprof/", "http://" + health + "/debug/pprof/heap", "http://" + profiles + "/metrics"} {
		if status, _ := get(t, url); status != http.StatusNotFound {
			t.Errorf("%s: status %d", url, status)
		}
	}
	if _, body := get(t, "http://"+profiles+"/debug/pprof/goroutine?debug=2"); strings.Contains(body, servicetest.Key) {
		t.Error("a key shows")
	}
	if code := stop(); code != 0 {
		t.Errorf("serve: exit code %d", code)
	}
	if status, body := get(t, "http://"+profiles+"/debug/pprof/"); status != 0 {
		t.Errorf("after the end: status %d: %s", status, body)
	}
}

// Without DEBUG_ADDR nothing listens for profiles.
func TestProfilesAreOffByDefault(t *testing.T) {
	t.Parallel()
	out, stop := worker(t).start("serve")
	await(t, out, "answering requests", "model")
	stop()
	if text := out.String(); strings.Contains(text, "pprof") {
		t.Errorf("profiles are served:\n%s", text)
	}
}

// An address that others reach is refused, unless that is wanted; so is one that is taken.
func TestProfilesAddress(t *testing.T) {
	t.Parallel()
	taken, err := new(net.ListenConfig).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	defer taken.Close()
	p := worker(t)
	for addr, want := range map[string]string{
		":6060": "is not loopback", "0.0.0.0:6060": "is not loopback", "[::]:6060": "is not loopback", "192.0.2.1:6060": "DEBUG_ALLOW_REMOTE=true", "6060": "want host:port",
		"example.com:1": "is not loopback", taken.Addr().String(): "address already in use",
	} {
		p.set("DEBUG_ADDR", addr)
		if code, out, errs := p.invoke("", "serve"); code != 2 || !strings.Contains(errs, "DEBUG_ADDR="+addr) || !strings.Contains(errs, want) {
			t.Errorf("%s: exit code %d, want 2 and %q: %s%s", addr, code, want, out, errs)
		}
	}
	p.set("DEBUG_ADDR", "[::1]:6060")
	p.set("LOG_LEVEL", "LOUD") // so that it does not start
	if _, _, errs := p.invoke("", "serve"); strings.Contains(errs, "DEBUG_ADDR") {
		t.Errorf("loopback: %s", errs)
	}
	p.set("DEBUG_ADDR", "0.0.0.0:6060")
	p.set("DEBUG_ALLOW_REMOTE", true)
	if _, _, errs := p.invoke("", "serve"); strings.Contains(errs, "DEBUG_ADDR") {
		t.Errorf("allowed: %s", errs)
	}
}

// Go itself sets GOMAXPROCS from the container's CPU limit and follows its changes, where
// nothing turns that off.
func TestProcessorsFollowTheContainer(t *testing.T) {
	t.Parallel()
	info, ok := debug.ReadBuildInfo()
	if !ok {
		t.Fatal("there is no build information")
	}
	for _, s := range info.Settings {
		if s.Key == "DefaultGODEBUG" && (strings.Contains(s.Value, "containermaxprocs=0") || strings.Contains(s.Value, "updatemaxprocs=0")) {
			t.Errorf("%s=%s: the go line of go.mod is older than 1.25, or a godebug line turns it off", s.Key, s.Value)
		}
	}
}
