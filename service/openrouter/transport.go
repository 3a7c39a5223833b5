package openrouter

import (
	"cmp"
	"context"
	"crypto/tls"
	"errors"
	"net"
	"net/http"
	"net/url"
	"time"

	"golang.org/x/net/http/httpproxy"
)

// maxResponseHeader bounds the headers of a response, which take many times their size. Go's own bound is 10 MiB.
const maxResponseHeader = 128 << 10

// dialTimeout is for a connection, and again for its TLS handshake.
const dialTimeout = 10 * time.Second

// writeBuffer is what each HTTP/1.1 connection has for what it sends; net/http's own is 4 KB. A request of a short prompt fits;
// what is larger is written from where it is.
const writeBuffer = 2 << 10

// NewTransport returns a transport for many long streams. Requests of both schemes go through proxyURL (http, https, socks5 or
// socks5h) except to hosts that noProxy lists in the usual form; loopback hosts are never proxied. An empty proxyURL connects
// directly: the environment of the process is not read. No error, here or of a call, contains the proxy's password.
func NewTransport(proxyURL, noProxy string) (*http.Transport, error) {
	u, err := parseProxy(proxyURL)
	if err != nil {
		return nil, err
	}
	dialer := &net.Dialer{Timeout: dialTimeout, KeepAlive: 30 * time.Second}
	t := &http.Transport{
		DialContext:         dialer.DialContext,
		TLSClientConfig:     &tls.Config{MinVersion: tls.VersionTLS12},
		TLSHandshakeTimeout: dialTimeout,
		ForceAttemptHTTP2:   true,
		// Without pings a dead HTTP/2 connection would fail all of its streams, and every new one, by their time limits.
		HTTP2:                  &http.HTTP2Config{SendPingTimeout: 15 * time.Second, PingTimeout: 15 * time.Second},
		MaxIdleConnsPerHost:    1 << 16, // there are no more than were in flight within IdleConnTimeout
		IdleConnTimeout:        90 * time.Second,
		MaxResponseHeaderBytes: maxResponseHeader,
		DisableCompression:     true, // a compressor delays events
		WriteBufferSize:        writeBuffer,

		OnProxyConnectResponse: refusedByProxy,
	}
	if u == nil {
		return t, nil
	}
	choose := (&httpproxy.Config{HTTPProxy: proxyURL, HTTPSProxy: proxyURL, NoProxy: noProxy}).ProxyFunc()
	t.Proxy = func(r *http.Request) (*url.URL, error) { return choose(r.URL) }
	if u.Scheme == "https" {
		t.DialTLSContext = dialTLS(t, hostPort(u))
	}
	return t, nil
}

// dialTLS offers HTTP/2 to every host but the proxy: a transport that has agreed on it with a proxy still sends its CONNECT in
// HTTP/1.1, and reads frames for an answer.
func dialTLS(t *http.Transport, proxy string) func(ctx context.Context, network, address string) (net.Conn, error) {
	return func(ctx context.Context, network, address string) (net.Conn, error) {
		ctx, cancel := context.WithTimeout(ctx, 2*dialTimeout)
		defer cancel()
		plain, err := t.DialContext(ctx, network, address)
		if err != nil {
			return nil, err
		}
		config := t.TLSClientConfig.Clone()
		config.NextProtos = []string{"h2", "http/1.1"}
		if address == proxy {
			config.NextProtos = []string{"http/1.1"}
		}
		if host, _, err := net.SplitHostPort(address); err == nil && config.ServerName == "" {
			config.ServerName = host
		}
		conn := tls.Client(plain, config)
		if err := conn.HandshakeContext(ctx); err != nil {
			return nil, errors.Join(err, plain.Close())
		}
		return conn, nil
	}
}

func hostPort(u *url.URL) string {
	return net.JoinHostPort(u.Hostname(), cmp.Or(u.Port(), "443"))
}

// parseProxy returns nil for an empty text.
func parseProxy(raw string) (*url.URL, error) {
	if raw == "" {
		return nil, nil
	}
	u, err := url.Parse(raw)
	if err != nil || u.Hostname() == "" {
		return nil, errors.New("proxy: not a URL such as http://host:port") // err would repeat the password
	}
	switch u.Scheme {
	case "http", "https", "socks5", "socks5h":
		return u, nil
	}
	return nil, errors.New("proxy: scheme must be http, https, socks5 or socks5h")
}
