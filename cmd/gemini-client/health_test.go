package main

import (
	"context"
	"net"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

func TestHealthFollowsTheService(t *testing.T) {
	n := servicetest.RunNATS(t)
	n.Stop()
	or := servicetest.RunOpenRouter(t, simulator.Config{})
	for name, value := range map[string]string{
		"OPENROUTER_BASE_URL": or.URL, "OPENROUTER_API_KEYS": servicetest.Key, "NATS_URL": n.URL,
		"HTTP_ADDR": "127.0.0.1:0", "LOG_FORMAT": "json",
	} {
		t.Setenv(name, value)
	}
	ctx, cancel := context.WithCancel(context.Background())
	t.Cleanup(cancel)
	out := &output{}
	ended := make(chan int, 1)
	go func() { ended <- run(ctx, []string{"serve"}, streams{strings.NewReader(""), out, out}) }()
	t.Setenv("HTTP_ADDR", await(t, out, "serving /healthz, /readyz and /metrics", "address"))

	expect := func(what string, code int, says string, args ...string) {
		t.Helper()
		got, stdout, stderr := invoke(t, "", append([]string{"health"}, args...)...)
		if got != code || !strings.Contains(stdout+stderr, says) {
			t.Errorf("%s: exit code %d, want %d and %q: %s%s", what, got, code, says, stdout, stderr)
		}
	}
	expect("without NATS", 0, "ok")
	expect("without NATS, --ready", 1, "NATS or JetStream is not there yet", "--ready")
	n.Start()
	await(t, out, "answering requests", "model")
	expect("with NATS", 0, "ok", "--ready")
	t.Run("with problems that are not HTTP_ADDR's", func(t *testing.T) {
		t.Setenv("WORKER_CONCURRENCY", "many")
		t.Setenv("OPENROUTER_API_KEYS_FILE", "/does/not/exist")
		expect("problems elsewhere", 0, "ok")
	})
	cancel()
	if code := <-ended; code != 0 {
		t.Errorf("serve: exit code %d:\n%s", code, out)
	}
	expect("after the end", 1, "no answer")
}

// Each form of HTTP_ADDR that the service can listen on can be asked.
func TestHealthAddresses(t *testing.T) {
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
		t.Setenv("HTTP_ADDR", host+":"+port)
		code, stdout, stderr := invoke(t, "", "health")
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
	file := filepath.Join(t.TempDir(), "settings.yaml")
	if err := os.WriteFile(file, []byte(`http_addr: ""`), 0o600); err != nil {
		t.Fatal(err)
	}
	if code, _, errs := invoke(t, "", "health", "--config", file); code != 1 || !strings.Contains(errs, "HTTP_ADDR is empty") {
		t.Errorf("empty: exit code %d: %s", code, errs)
	}
	t.Setenv("HTTP_ADDR", "8080")
	if code, _, errs := invoke(t, "", "health"); code != 1 || !strings.Contains(errs, "HTTP_ADDR=8080") {
		t.Errorf("no port: exit code %d: %s", code, errs)
	}
}
