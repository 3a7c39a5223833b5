package openrouter_test

import (
	"context"
	"crypto/tls"
	"crypto/x509"
	"errors"
	"fmt"
	"io"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"sync/atomic"
	"testing"

	"gemini-client/service/openrouter"
)

func TestProxies(t *testing.T) {
	t.Parallel()
	for scheme, want := range map[string]string{
		"http": "CONNECT example.com:443", "https": "CONNECT example.com:443", "socks5": "SOCKS example.com:443", "socks5h": "SOCKS example.com:443",
	} {
		t.Run(scheme, func(t *testing.T) {
			t.Parallel()
			server := upstream(t)
			p := &proxy{address: server.Listener.Addr().String()}
			address := p.start(t, scheme)

			client := through(t, scheme+"://user:hunter2@"+address, "", "https://example.com/api/v1", server)
			got := ask(t, client)
			if got.err != nil || got.Content != "Hi" || got.ID != "HTTP/2.0" || p.requests() != want {
				t.Errorf("got %q over %q, error %v; the proxy was asked for %q, want %q", got.Content, got.ID, got.err, p.requests(), want)
			}
			client.CloseIdleConnections()

			refused := through(t, scheme+"://user:wrong-secret@"+address, "", "https://example.com/api/v1", server)
			e := ask(t, refused).err
			if e == nil || e.Kind != openrouter.KindConnection || !e.Retryable {
				t.Fatalf("wrong password: got %+v", e)
			}
			if all := fmt.Sprintf("%v %+v %v", e, *e, errors.Unwrap(e)); strings.Contains(all, "wrong-secret") || strings.Contains(all, "user:") {
				t.Errorf("credentials are in the error: %s", all)
			}
		})
	}
}

// TestProxyForPlainHTTP is about the transport: the client itself refuses http:// to other hosts.
func TestProxyForPlainHTTP(t *testing.T) {
	t.Parallel()
	p := &proxy{}
	transport, err := openrouter.NewTransport("http://user:hunter2@"+p.start(t, "http"), "")
	if err != nil {
		t.Fatal(err)
	}
	defer transport.CloseIdleConnections()
	resp, err := (&http.Client{Transport: transport}).Get("http://example.com/x")
	if err != nil {
		t.Fatal(err)
	}
	defer resp.Body.Close()
	if body, _ := io.ReadAll(resp.Body); string(body) != "through the proxy" || p.requests() != "GET example.com" {
		t.Errorf("got %q; the proxy was asked for %q", body, p.requests())
	}
}

// TestNoProxy dials example.com where the test says, and has a proxy that must not be asked.
func TestNoProxy(t *testing.T) {
	t.Parallel()
	for _, noProxy := range []string{"example.com", ".com", "*", "localhost, example.com:443"} {
		for _, scheme := range []string{"http", "https", "socks5"} {
			server := upstream(t)
			p := &proxy{}
			transport, err := openrouter.NewTransport(scheme+"://user:hunter2@"+p.start(t, scheme), noProxy)
			if err != nil {
				t.Fatal(err)
			}
			transport.TLSClientConfig.RootCAs = x509.NewCertPool()
			transport.TLSClientConfig.RootCAs.AddCert(server.Certificate())
			transport.DialContext = func(ctx context.Context, network, _ string) (net.Conn, error) {
				return new(net.Dialer).DialContext(ctx, network, server.Listener.Addr().String())
			}
			client := newClient(t, openrouter.Config{BaseURL: at("https://example.com/api/v1"), Transport: transport})
			if got := ask(t, client); got.err != nil || got.ID != "HTTP/2.0" || p.requests() != "" {
				t.Errorf("%s, NO_PROXY %q: got %q, error %v; the proxy was asked for %q", scheme, noProxy, got.ID, got.err, p.requests())
			}
		}
	}
}

// A countedConn leaves the count when it is closed.
type countedConn struct {
	net.Conn
	open *atomic.Int32
	once sync.Once
}

func (c *countedConn) Close() error {
	c.once.Do(func() { c.open.Add(-1) })
	return c.Conn.Close()
}

// TestProxyFaults has proxies that nobody should trust, or that are not there.
func TestProxyFaults(t *testing.T) {
	t.Parallel()
	p := &proxy{}
	for name, proxyURL := range map[string]string{
		"unknown authority": "https://user:hunter2@" + p.start(t, "https"),
		"no TLS":            "https://user:hunter2@" + p.start(t, "http"),
		"http gone":         strings.Replace(nobody, "http://", "http://user:hunter2@", 1),
		"https gone":        strings.Replace(nobody, "http://", "https://user:hunter2@", 1),
		"socks gone":        strings.Replace(nobody, "http://", "socks5://user:hunter2@", 1),
	} {
		transport, err := openrouter.NewTransport(proxyURL, "")
		if err != nil {
			t.Fatal(err)
		}
		var open atomic.Int32
		dial := transport.DialContext
		transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
			conn, err := dial(ctx, network, address)
			if err != nil {
				return nil, err
			}
			open.Add(1)
			return &countedConn{Conn: conn, open: &open}, nil
		}
		e := ask(t, newClient(t, openrouter.Config{Transport: transport})).err
		if open.Load() != 0 {
			t.Errorf("%s: the connection to the proxy was left open", name)
		}
		if e == nil || e.Kind != openrouter.KindConnection || strings.Contains(fmt.Sprintf("%v %+v", e, *e), "hunter2") || p.requests() != "" {
			t.Errorf("%s: got %+v; the proxy was asked for %q", name, e, p.requests())
		}
	}
}

// TestProxyOfTheEnvironmentIsIgnored cannot run beside other tests.
func TestProxyOfTheEnvironmentIsIgnored(t *testing.T) {
	for _, name := range []string{"HTTP_PROXY", "HTTPS_PROXY", "http_proxy", "https_proxy", "ALL_PROXY"} {
		t.Setenv(name, "http://127.0.0.1:1")
	}
	t.Setenv("NO_PROXY", "example.com")
	direct, err := openrouter.NewTransport("", "")
	if err != nil {
		t.Fatal(err)
	}
	if direct.Proxy != nil {
		t.Error("a transport without a proxy has one")
	}
	proxied, err := openrouter.NewTransport("socks5://proxy:1080", "")
	if err != nil {
		t.Fatal(err)
	}
	req := httptest.NewRequest(http.MethodGet, "https://example.com/", nil)
	if u, err := proxied.Proxy(req); err != nil || u == nil || u.Host != "proxy:1080" {
		t.Errorf("got proxy %v, %v", u, err)
	}
	loopback := httptest.NewRequest(http.MethodGet, "http://127.0.0.1:8080/", nil)
	if u, err := proxied.Proxy(loopback); err != nil || u != nil {
		t.Errorf("loopback goes through %v, %v", u, err)
	}
}

func TestNewTransportRefuses(t *testing.T) {
	t.Parallel()
	for _, raw := range []string{"hysteria2:8080", "ftp://user:hunter2@host:1", "http://", "http://user:hunter2@ho st", "://user:hunter2@host", "http://user:hunter2%zz@host:1", "host"} {
		transport, err := openrouter.NewTransport(raw, "")
		if err == nil || transport != nil || strings.Contains(err.Error(), "hunter2") || strings.Contains(err.Error(), "user") {
			t.Errorf("%q: got %v, %v", raw, transport, err)
		}
	}
}

func TestNewTransport(t *testing.T) {
	t.Parallel()
	transport, err := openrouter.NewTransport("", "")
	if err != nil {
		t.Fatal(err)
	}
	if transport.TLSClientConfig.MinVersion < tls.VersionTLS12 || !transport.ForceAttemptHTTP2 || !transport.DisableCompression ||
		transport.TLSHandshakeTimeout == 0 || transport.MaxIdleConnsPerHost < 100 || transport.HTTP2.SendPingTimeout == 0 {
		t.Errorf("unfit transport: %+v", transport)
	}
}

// writes counts what is written to a connection, one system call each.
type writes struct {
	net.Conn
	n *atomic.Int32
}

func (w writes) Write(p []byte) (int, error) {
	w.n.Add(1)
	return w.Conn.Write(p)
}

// The headers and the body of a request go out together: net/http sees that the body is
// in memory, and whatever wraps the transport does not hide it.
func TestRequestIsOneWrite(t *testing.T) {
	t.Parallel()
	server := newServer(t, func(w http.ResponseWriter, _ *http.Request) { _, _ = io.WriteString(w, testdata(t, "text.sse")) })
	transport, err := openrouter.NewTransport("", "")
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(transport.CloseIdleConnections)
	var n atomic.Int32
	dial := transport.DialContext
	transport.DialContext = func(ctx context.Context, network, address string) (net.Conn, error) {
		conn, err := dial(ctx, network, address)
		return writes{conn, &n}, err
	}
	client := newClient(t, openrouter.Config{BaseURL: at(server.URL), Transport: openrouter.Quiet(transport)})
	if o := ask(t, client); o.err != nil || n.Load() != 1 {
		t.Errorf("got %v after %d writes, want one", o.err, n.Load())
	}
}
