package servicetest

import (
	"net"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// ready is how long an embedded server may take to start.
const ready = time.Minute

// NATS is an embedded nats-server with JetStream on disk. It keeps its port
// and its files over Stop and Start.
type NATS struct {
	URL    string
	As     []nats.Option // of Connect, if it is called without any
	t      testing.TB
	server *server.Server
	opts   server.Options
}

// RunNATS starts a server that ends with the test. Each change is applied to
// the options first (users, max_payload, …).
func RunNATS(tb testing.TB, changes ...func(*server.Options)) *NATS {
	tb.Helper()
	n := &NATS{t: tb, opts: server.Options{
		ServerName: "test", Host: "127.0.0.1", Port: server.RANDOM_PORT,
		JetStream: true, StoreDir: tb.TempDir(), NoLog: true, NoSigs: true,
	}}
	for _, change := range changes {
		change(&n.opts)
	}
	n.Start()
	tb.Cleanup(n.Stop)
	return n
}

// Start starts the server, again after a Stop.
func (n *NATS) Start() {
	n.t.Helper()
	opts := n.opts
	s, err := server.NewServer(&opts)
	if err != nil {
		n.t.Fatalf("nats-server: %v", err)
	}
	s.Start()
	if !s.ReadyForConnections(ready) {
		n.t.Fatal("nats-server is not ready")
	}
	n.server = s
	_, port, err := net.SplitHostPort(s.Addr().String())
	if err != nil {
		n.t.Fatal(err)
	}
	n.opts.Port, _ = strconv.Atoi(port)
	n.URL = s.ClientURL()
}

// Stop ends the server gracefully and waits for its end.
func (n *NATS) Stop() {
	n.server.Shutdown()
	n.server.WaitForShutdown()
}

// Connect returns a connection that is closed with the test.
func (n *NATS) Connect(options ...nats.Option) *nats.Conn {
	n.t.Helper()
	if len(options) == 0 {
		options = n.As
	}
	patient := []nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(20 * time.Millisecond), nats.Timeout(10 * time.Second)}
	nc, err := nats.Connect(n.URL, append(patient, options...)...)
	if err != nil {
		n.t.Fatalf("connect: %v", err)
	}
	n.t.Cleanup(nc.Close)
	return nc
}

// JetStream returns a connection's JetStream.
func (n *NATS) JetStream() jetstream.JetStream {
	n.t.Helper()
	js, err := jetstream.New(n.Connect())
	if err != nil {
		n.t.Fatal(err)
	}
	return js
}

// Store is the folder of the server's files.
func (n *NATS) Store() string { return n.opts.StoreDir }

// Received is how many messages the server has received from its clients.
func (n *NATS) Received() int64 {
	n.t.Helper()
	v, err := n.server.Varz(nil)
	if err != nil {
		n.t.Fatal(err)
	}
	return v.InMsgs
}
