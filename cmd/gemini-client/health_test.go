package main

import (
	"net"
	"strings"
	"testing"

	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

func TestHealthFollowsTheService(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t)
	b := servicetest.NewBackend(t, n)
	n.Stop()
	or := servicetest.RunOpenRouter(t, simulator.Config{})
	p := newProgram(t, map[string]any{
		"OPENROUTER_BASE_URL": or.URL, "OPENROUTER_API_KEYS": []string{servicetest.Key}, "NATS_URL": n.URL, "HTTP_ADDR": "127.0.0.1:0", "LOG_FORMAT": "json",
	})
	out, stop := p.start("serve")
	p.set("HTTP_ADDR", await(t, out, "serving /healthz, /readyz and /metrics", "address"))

	expect := func(what string, code int, says string, args ...string) {
		t.Helper()
		got, stdout, stderr := p.invoke("", append([]string{"health"}, args...)...)
		if got != code || !strings.Contains(stdout+stderr, says) {
			t.Errorf("%s: exit code %d, want %d and %q: %s%s", what, got, code, says, stdout, stderr)
		}
	}
	expect("without NATS", 0, "ok")
	expect("without NATS, --ready", 1, "NATS or JetStream is not there yet", "--ready")
	n.Start()
	b.Until("it is ready", func() (string, bool) {
		code, stdout, stderr := p.invoke("", "health", "--ready")
		return stdout + stderr, code == 0 && strings.Contains(stdout, "ok")
	})
	p.set("WORKER_CONCURRENCY", "many")
	p.set("OPENROUTER_API_KEYS_FILE", "/does/not/exist")
	expect("problems that are not HTTP_ADDR's", 0, "ok")
	if code := stop(); code != 0 {
		t.Errorf("serve: exit code %d:\n%s", code, out)
	}
	expect("after the end", 1, "no answer")
}

// Each form of HTTP_ADDR that the service can listen on can be asked.
func TestHealthAddresses(t *testing.T) {
	t.Parallel()
	for _, host := range []string{"", "0.0.0.0", "[::]", "127.0.0.1", "[::1]", "localhost"} {
		listener, err := new(net.ListenConfig).Listen(t.Context(), "tcp", host+":0")
		if err != nil {
			t.Logf("%q: this machine cannot listen there: %v", host, err)
			continue
		}
		_, port, err := net.SplitHostPort(listener.Addr().String())
		if err != nil {
			t.Fatal(err)
		}
		done := answerOnce(listener)
		code, stdout, stderr := newProgram(t, map[string]any{"HTTP_ADDR": host + ":" + port}).invoke("", "health")
		if code != 0 || stdout != "ok\n" {
			t.Errorf("HTTP_ADDR=%s:%s: exit code %d: %s%s", host, port, code, stdout, stderr)
		}
		_ = listener.Close()
		<-done
	}
}

// answerOnce answers one HTTP request and closes the returned channel.
func answerOnce(listener net.Listener) <-chan struct{} {
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		if _, err := conn.Read(make([]byte, 4096)); err == nil {
			_, _ = conn.Write([]byte("HTTP/1.1 200 OK\r\nContent-Length: 3\r\nConnection: close\r\n\r\nok\n"))
		}
	}()
	return done
}

func TestHealthWithoutAddress(t *testing.T) {
	t.Parallel()
	if code, _, errs := newProgram(t, map[string]any{"HTTP_ADDR": ""}).invoke("", "health"); code != 1 || !strings.Contains(errs, "HTTP_ADDR is empty") {
		t.Errorf("empty: exit code %d: %s", code, errs)
	}
	if code, _, errs := newProgram(t, map[string]any{"HTTP_ADDR": "8080"}).invoke("", "health"); code != 1 || !strings.Contains(errs, "HTTP_ADDR=8080") {
		t.Errorf("no port: exit code %d: %s", code, errs)
	}
}
