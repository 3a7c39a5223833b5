package openrouter_test

import (
	"bufio"
	"crypto/x509"
	"encoding/base64"
	"encoding/binary"
	"errors"
	"fmt"
	"io"
	"log"
	"net"
	"net/http"
	"net/http/httptest"
	"strings"
	"sync"
	"testing"

	"gemini-client/service/openrouter"
)

func discard() *log.Logger { return log.New(io.Discard, "", 0) }

// upstream is an OpenRouter over TLS, with HTTP/2, whose certificate is for example.com.
func upstream(t *testing.T) *httptest.Server {
	t.Helper()
	server := httptest.NewUnstartedServer(http.HandlerFunc(func(w http.ResponseWriter, r *http.Request) {
		w.Header().Set("X-Generation-Id", r.Proto)
		_, _ = io.WriteString(w, `data: {"choices":[{"delta":{"content":"Hi"},"finish_reason":"stop"}]}`+"\n\n")
	}))
	server.EnableHTTP2 = true
	server.Config.ErrorLog = discard()
	server.StartTLS()
	t.Cleanup(server.Close)
	return server
}

// A proxy notes what it was asked for and leads everything to one address.
type proxy struct {
	address string
	mu      sync.Mutex
	asked   []string
	tunnels sync.WaitGroup
}

func (p *proxy) note(what string) {
	p.mu.Lock()
	defer p.mu.Unlock()
	p.asked = append(p.asked, what)
}

func (p *proxy) requests() string {
	p.mu.Lock()
	defer p.mu.Unlock()
	return strings.Join(p.asked, ", ")
}

// ServeHTTP is a forward proxy that wants user and secret.
func (p *proxy) ServeHTTP(w http.ResponseWriter, r *http.Request) {
	if r.Header.Get("Proxy-Authorization") != "Basic "+base64.StdEncoding.EncodeToString([]byte("user:hunter2")) {
		w.WriteHeader(http.StatusProxyAuthRequired)
		return
	}
	p.note(r.Method + " " + r.Host)
	if r.Method != http.MethodConnect {
		_, _ = io.WriteString(w, "through the proxy")
		return
	}
	conn, buffered, err := http.NewResponseController(w).Hijack()
	if err != nil {
		return
	}
	_, _ = io.WriteString(conn, "HTTP/1.1 200 Connection established\r\n\r\n")
	p.tunnel(conn, buffered.Reader)
}

// tunnel copies both ways until one side closes.
func (p *proxy) tunnel(conn net.Conn, from io.Reader) {
	target, err := net.Dial("tcp", p.address)
	if err != nil {
		_ = conn.Close()
		return
	}
	for _, pair := range []struct {
		to   net.Conn
		from io.Reader
	}{{target, from}, {conn, target}} {
		p.tunnels.Go(func() {
			_, _ = io.Copy(pair.to, pair.from)
			_ = target.Close()
			_ = conn.Close()
		})
	}
}

// serveSOCKS speaks as much of SOCKS5 (RFC 1928, 1929) as a client with a password needs.
func (p *proxy) serveSOCKS(conn net.Conn) error {
	r := bufio.NewReader(conn)
	read := func(n int) []byte {
		b := make([]byte, n)
		_, _ = io.ReadFull(r, b)
		return b
	}
	read(int(read(2)[1])) // version and methods
	_, _ = conn.Write([]byte{5, 2})
	user := string(read(int(read(2)[1])))
	password := string(read(int(read(1)[0])))
	if user != "user" || password != "hunter2" {
		_, _ = conn.Write([]byte{1, 1})
		return errors.New("refused")
	}
	_, _ = conn.Write([]byte{1, 0})
	head := read(4)
	if head[3] != 3 {
		return errors.New("the client resolved the name itself")
	}
	host := string(read(int(read(1)[0])))
	p.note(fmt.Sprintf("SOCKS %s:%d", host, binary.BigEndian.Uint16(read(2))))
	_, _ = conn.Write([]byte{5, 0, 0, 1, 0, 0, 0, 0, 0, 0})
	p.tunnel(conn, r)
	return nil
}

func (p *proxy) start(t *testing.T, scheme string) (address string) {
	t.Helper()
	if scheme == "http" || scheme == "https" {
		server := httptest.NewUnstartedServer(p)
		server.EnableHTTP2 = true
		server.Config.ErrorLog = discard()
		if scheme == "https" {
			server.StartTLS()
		} else {
			server.Start()
		}
		t.Cleanup(func() {
			p.tunnels.Wait()
			server.Close()
		})
		return server.Listener.Addr().String()
	}
	listener, err := net.Listen("tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	p.tunnels.Go(func() {
		for {
			conn, err := listener.Accept()
			if err != nil {
				return
			}
			if p.serveSOCKS(conn) != nil {
				_ = conn.Close()
			}
		}
	})
	t.Cleanup(func() {
		_ = listener.Close()
		p.tunnels.Wait()
	})
	return listener.Addr().String()
}

// through returns a client for base whose calls go through the proxy.
func through(t *testing.T, proxyURL, noProxy, base string, server *httptest.Server) *openrouter.Client {
	t.Helper()
	transport, err := openrouter.NewTransport(proxyURL, noProxy)
	if err != nil {
		t.Fatal(err)
	}
	transport.TLSClientConfig.RootCAs = x509.NewCertPool()
	transport.TLSClientConfig.RootCAs.AddCert(server.Certificate())
	return newClient(t, openrouter.Config{BaseURL: at(base), Transport: transport})
}
