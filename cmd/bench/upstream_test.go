package main

import (
	"bufio"
	"context"
	"io"
	"net"
	"net/http"
	"net/url"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"gemini-client/service/openrouter"
)

// serveTest runs an upstream and returns a client of it.
func serveTest(t *testing.T, a answer) (client *http.Client, base string, n *counts) {
	t.Helper()
	l, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n = &counts{}
	c, scheme := floorConfig{Slots: 1}, "http://"
	ended := make(chan struct{})
	if a.TLS {
		key := filepath.Join(t.TempDir(), "key.pem")
		c.Cert, scheme = filepath.Join(t.TempDir(), "cert.pem"), "https://"
		if err := writeCertificate(c.Cert, key); err != nil {
			t.Fatal(err)
		}
		go func() { defer close(ended); _ = serveHTTP2(l, upstreamConfig{Answer: a, Cert: c.Cert, Key: key}, n) }()
	} else {
		go func() { defer close(ended); _ = serveRaw(l, a, n) }()
	}
	if client, err = floorClient(c); err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { client.CloseIdleConnections(); _ = l.Close(); <-ended })
	return client, scheme + l.Addr().String() + apiPath, n
}

// Each kind of answer is what the service's own client takes for a complete one.
func TestAnswers(t *testing.T) {
	t.Parallel()
	for name, a := range map[string]answer{
		"at once": {Chunks: 20}, "one chunk": {Chunks: 1, Over: time.Millisecond}, "over a time": {Chunks: 3, First: 2 * time.Millisecond, Over: 6 * time.Millisecond},
		"HTTP/2": {Chunks: 5, TLS: true}, "HTTP/2 over a time": {Chunks: 5, Over: 5 * time.Millisecond, TLS: true},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			client, base, n := serveTest(t, a)
			at, err := url.Parse(base)
			if err != nil {
				t.Fatal(err)
			}
			c, err := openrouter.New(openrouter.Config{BaseURL: at, Transport: client.Transport})
			if err != nil {
				t.Fatal(err)
			}
			for range 2 { // on one connection
				done, err := c.Complete(t.Context(), apiKey, &openrouter.Request{Prompt: prompt}, nil)
				if err != nil || done.Content != a.text() {
					t.Fatalf("%v: %q, want %q", err, done.Content, a.text())
				}
			}
			if got := n.report().(calls); got.Calls != 2 || got.Open != 1 {
				t.Errorf("counted %+v", got)
			}
		})
	}
}

// The pieces come when they are due, and those that are due together in one write.
func TestAnswerTimes(t *testing.T) {
	t.Parallel()
	for _, c := range []struct {
		answer answer
		want   []time.Duration
	}{
		{answer{Chunks: 3, First: 10, Over: 30}, []time.Duration{10, 20, 30}},
		{answer{Chunks: 20, First: 20, Over: 20}, []time.Duration{20}},
		{answer{Chunks: 1, Over: 7}, []time.Duration{7}},
		{answer{Chunks: 20}, nil},
	} {
		var waited []time.Duration
		var sent strings.Builder
		err := c.answer.write(func(text string) error { sent.WriteString(text); return nil },
			func(since time.Duration) error { waited = append(waited, since); return nil })
		if err != nil || len(waited) != len(c.want) || strings.Count(sent.String(), chunkText) != c.answer.Chunks || !strings.HasSuffix(sent.String(), "[DONE]\n\n") {
			t.Errorf("%+v: %v, waited %v, want %v; sent:\n%s", c.answer, err, waited, c.want, sent.String())
			continue
		}
		for i := range waited {
			if waited[i] != c.want[i] {
				t.Errorf("%+v: waited %v, want %v", c.answer, waited, c.want)
			}
		}
	}
}

func TestOtherPaths(t *testing.T) {
	t.Parallel()
	for _, tls := range []bool{false, true} {
		client, base, n := serveTest(t, answer{Chunks: 1, TLS: tls})
		status, protocol := get(t, client, base+"/key")
		if want := map[bool]string{false: "HTTP/1.1", true: "HTTP/2.0"}[tls]; status != http.StatusNotFound || protocol != want || n.calls.Load() != 0 {
			t.Errorf("TLS %v: %d in %s, %d calls", tls, status, protocol, n.calls.Load())
		}
	}
}

func get(t *testing.T, client *http.Client, url string) (status int, protocol string) {
	t.Helper()
	request, err := http.NewRequestWithContext(t.Context(), http.MethodGet, url, http.NoBody)
	if err != nil {
		t.Fatal(err)
	}
	response, err := client.Do(request)
	if err != nil {
		t.Fatal(err)
	}
	_, _ = io.Copy(io.Discard, response.Body)
	_ = response.Body.Close()
	return response.StatusCode, response.Proto
}

func TestReadRaw(t *testing.T) {
	t.Parallel()
	for name, c := range map[string]struct {
		text     string
		chat, ok bool
	}{
		"chat":   {"POST " + chatPath + " HTTP/1.1\r\nHost: x\r\ncontent-length: 3\r\n\r\nabc", true, true},
		"other":  {"GET /api/v1/key HTTP/1.1\r\nHost: x\r\n\r\n", false, true},
		"cut":    {"POST " + chatPath + " HTTP/1.1\r\nContent-Length: 4\r\n\r\nabc", false, false},
		"length": {"POST " + chatPath + " HTTP/1.1\r\nContent-Length: many\r\n\r\nabc", false, false},
		"chunks": {"POST " + chatPath + " HTTP/1.1\r\nTransfer-Encoding: chunked\r\n\r\n", false, false},
	} {
		r := bufio.NewReader(strings.NewReader(c.text))
		chat, err := readRaw(r)
		if (err == nil) != c.ok || c.ok && (chat != c.chat || r.Buffered() != 0) {
			t.Errorf("%s: %v, %v; %d bytes are left", name, chat, err, r.Buffered())
		}
	}
}

func TestPause(t *testing.T) {
	t.Parallel()
	ctx, cancel := context.WithCancel(t.Context())
	cancel()
	if err := pause(ctx, time.Hour); err == nil {
		t.Error("a caller that went away was waited for")
	}
}
