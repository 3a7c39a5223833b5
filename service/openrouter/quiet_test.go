package openrouter

import (
	"bufio"
	"context"
	"errors"
	"net"
	"net/http"
	"strings"
	"testing"
)

// answering is a server that answers each connection with a text, once it has
// seen the end of the request's headers.
func answering(t *testing.T, text string) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			lines := bufio.NewReader(conn)
			for line := "x"; err == nil && strings.TrimSpace(line) != ""; {
				line, err = lines.ReadString('\n')
			}
			_, _ = conn.Write([]byte(text)) // a client that has gone away is no matter
			_ = conn.Close()
		}
	}()
	t.Cleanup(func() {
		_ = listener.Close()
		<-done
	})
	return listener.Addr().String()
}

func TestQuietRepeatsNothing(t *testing.T) {
	t.Parallel()
	const secret = "dXNlcjpwYXNzd29yZA"
	tests := []struct{ name, answer, url, want string }{
		{"a header line that quotes", "HTTP/1.1 200 OK\r\n" + secret + "\r\n\r\n", "http://", "did not speak HTTP"},
		{"a status line that quotes", secret + "\r\n\r\n", "http://", "did not speak HTTP"},
		{"a proxy's reason", "HTTP/1.1 407 you sent Basic " + secret + "\r\n\r\n", "https://", "the proxy answered 407"},
		{"a proxy's broken answer", "HTTP/1.1 " + secret + "\r\n\r\n", "https://", ""},
		{"nothing", "", "http://", "closed before an answer"},
	}
	for _, test := range tests {
		t.Run(test.name, func(t *testing.T) {
			t.Parallel()
			address, proxy, host := answering(t, test.answer), "", "upstream.example"
			if test.url == "https://" {
				proxy = "http://user:password@" + address
			} else {
				host = address
			}
			transport, err := NewTransport(proxy, "")
			if err != nil {
				t.Fatal(err)
			}
			defer transport.CloseIdleConnections()
			err = ask(t.Context(), Quiet(transport), test.url+host)
			if err == nil || !strings.Contains(err.Error(), test.want) || strings.Contains(err.Error(), secret) {
				t.Errorf("error: %v, want %q in it and not what the other side wrote", err, test.want)
			}
		})
	}
}

func TestQuietKeepsOurOwnWords(t *testing.T) {
	t.Parallel()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	address := listener.Addr().String()
	_ = listener.Close()
	for _, proxy := range []string{"", "http://" + address, "socks5://" + address} {
		url := "https://" + address
		if proxy != "" {
			url = "https://upstream.example"
		}
		transport, err := NewTransport(proxy, "")
		if err != nil {
			t.Fatal(err)
		}
		if err := ask(t.Context(), Quiet(transport), url); err == nil || !strings.Contains(err.Error(), "connection refused") {
			t.Errorf("proxy %q: error %v, want connection refused", proxy, err)
		}
		transport.CloseIdleConnections()
	}
	ended, cancel := context.WithCancel(t.Context())
	cancel()
	if err := ask(ended, Quiet(http.DefaultTransport), "http://"+address); !errors.Is(err, context.Canceled) || !errors.As(err, new(endedError)) {
		t.Errorf("error %v (%T), want the context's", err, err)
	}
	why := errors.New("why it was ended")
	caused, stop := context.WithCancelCause(t.Context())
	stop(why)
	if err := ask(caused, Quiet(http.DefaultTransport), "http://"+address); !errors.As(err, new(endedError)) || !errors.Is(err, context.Canceled) {
		t.Errorf("error %v (%T), want one that says it was ended, also when the context has a cause", err, err)
	}
}

func ask(ctx context.Context, transport http.RoundTripper, url string) error {
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, url, strings.NewReader("{}"))
	if err != nil {
		return err
	}
	response, err := transport.RoundTrip(request)
	if err == nil {
		_ = response.Body.Close()
	}
	return err
}
