package doctor_test

import (
	"bufio"
	"crypto/tls"
	"encoding/pem"
	"fmt"
	"net"
	"net/http"
	"net/http/httptest"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"

	"gemini-client/service/doctor"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// greets is a server that answers the first ping with a line, and nothing else.
func greets(t *testing.T, info, answer string) string {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	done := make(chan struct{})
	go func() {
		defer close(done)
		conn, err := listener.Accept()
		if err != nil {
			return
		}
		defer conn.Close()
		_, _ = fmt.Fprintf(conn, "INFO %s\r\n", info)
		lines := bufio.NewScanner(conn)
		for lines.Scan() {
			if lines.Text() == "PING" && answer != "" {
				_, _ = fmt.Fprintf(conn, "%s\r\n", answer)
				answer = ""
			}
		}
	}()
	t.Cleanup(func() { _ = listener.Close(); <-done })
	return "nats://" + listener.Addr().String()
}

// A server that is too old, has a name that would paint a terminal, and falls silent.
func TestHostileServer(t *testing.T) {
	t.Parallel()
	b := broken(t, simulator.Config{})
	name := strings.Repeat("x", 500) + `\u001b[31m`
	b.o.Config.NATS.URL = greets(t, `{"server_id":"a","server_name":"`+name+`","version":"2.11.4","proto":1,"headers":true,"max_payload":1048576,"jetstream":true}`, "PONG")
	r := b.look()
	want(t, r, "server", doctor.Fail, "upgrade nats-server to 2.12 or later")
	want(t, r, "JetStream", doctor.Fail, "lets us in and then does not answer")
	want(t, r, "rights", doctor.Skip, "NATS does not answer")
	if text := page(r); strings.ContainsRune(text, '\x1b') || strings.Contains(text, strings.Repeat("x", 401)) {
		t.Errorf("the server's name is shown as it is: %q", text)
	}
}

// A server repeats what it was sent.
func TestServerThatRepeatsThePassword(t *testing.T) {
	t.Parallel()
	b := broken(t, simulator.Config{})
	b.o.Config.User, b.o.Config.Password = "worker", "hunter2"
	b.o.Config.NATS.URL = greets(t, `{"server_id":"a","version":"2.15.2","proto":1,"max_payload":1048576,"auth_required":true}`, "-ERR 'nobody has the password hunter2 here'")
	want(t, b.look(), "server", doctor.Fail, "nobody has the password **** here")
}

// One whose certificate nobody knows is told apart from one that is away.
func TestServerWithTLS(t *testing.T) {
	t.Parallel()
	certificate := httptest.NewTLSServer(http.NotFoundHandler())
	t.Cleanup(certificate.Close)
	n := servicetest.RunNATS(t, func(o *server.Options) {
		o.TLS, o.TLSConfig = true, &tls.Config{Certificates: certificate.TLS.Certificates, MinVersion: tls.VersionTLS12}
	})
	b := broken(t, simulator.Config{})
	b.o.Config.NATS.URL = n.URL
	want(t, b.look(), "server", doctor.Fail, "certificate signed by unknown authority", "NATS_TLS_CA")
	b.o.Config.TLSCA = filepath.Join(t.TempDir(), "ca.pem")
	block := pem.EncodeToMemory(&pem.Block{Type: "CERTIFICATE", Bytes: certificate.Certificate().Raw})
	if err := os.WriteFile(b.o.Config.TLSCA, block, 0o600); err != nil {
		t.Fatal(err)
	}
	r := b.look()
	want(t, r, "server", doctor.OK, "TLS 1.3")
	want(t, r, "streams", doctor.Fail, "stream GEMINI_REQUESTS is missing") // before the first start
}
