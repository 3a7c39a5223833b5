package bus

import (
	"context"
	"fmt"
	"log/slog"
	"math"
	"net"
	"strings"
	"sync"
	"sync/atomic"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
	"gemini-client/telemetry"
)

// network carries bytes between clients and a server. After cut the connections
// that there are lead nowhere, and neither side is told; new ones work.
type network struct {
	address string

	mu  sync.Mutex
	end chan struct{} // of what is open now: nothing more is read

	budget atomic.Int64  // bytes for clients, before they have to wait for more
	more   chan struct{} // closed by resume
}

func newNetwork(t *testing.T, server string) *network {
	t.Helper()
	listener, err := (&net.ListenConfig{}).Listen(t.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		t.Fatal(err)
	}
	n := &network{address: listener.Addr().String(), end: make(chan struct{}), more: make(chan struct{})}
	n.budget.Store(math.MaxInt64)
	over := make(chan struct{})
	var open sync.WaitGroup
	open.Go(func() {
		for {
			client, err := listener.Accept()
			if err != nil {
				return
			}
			upstream, err := net.Dial("tcp", server)
			if err != nil {
				_ = client.Close()
				continue
			}
			n.mu.Lock()
			end := n.end
			n.mu.Unlock()
			open.Go(func() { carry(upstream, client, end, over) })
			open.Go(func() { carry(n.throttled(client, over), upstream, end, over) })
		}
	})
	t.Cleanup(func() {
		close(over)
		_ = listener.Close()
		open.Wait()
	})
	return n
}

func (n *network) cut() {
	n.mu.Lock()
	defer n.mu.Unlock()
	close(n.end)
	n.end = make(chan struct{})
}

// stall lets so many bytes through to clients, and the rest after resume.
func (n *network) stall(after int64) { n.budget.Store(after) }
func (n *network) resume()           { close(n.more) }

// throttled is a connection to a client that stalls.
func (n *network) throttled(client net.Conn, over <-chan struct{}) net.Conn {
	return &throttled{Conn: client, network: n, over: over}
}

type throttled struct {
	net.Conn
	network *network
	over    <-chan struct{}
}

func (t *throttled) Write(p []byte) (int, error) {
	if t.network.budget.Add(-int64(len(p))) < 0 {
		select {
		case <-t.network.more:
		case <-t.over:
		}
	}
	return t.Conn.Write(p)
}

// carry copies until the end, and then keeps the connections open, unread.
func carry(to, from net.Conn, end, over <-chan struct{}) {
	defer func() { _ = to.Close() }()
	buffer := make([]byte, 32<<10)
	for {
		length, err := from.Read(buffer)
		select {
		case <-end:
			<-over
			return
		default:
		}
		if err != nil {
			return
		}
		if _, err := to.Write(buffer[:length]); err != nil {
			return
		}
	}
}

// A connection that leads nowhere is left soon, also when its buffers are full:
// the client then waits for the network with its lock held, and so would do
// everybody who asks whether it is connected.
func TestStuckConnectionIsLeft(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t)
	between := newNetwork(t, strings.TrimPrefix(n.URL, "nats://"))
	c := config.NATS{URL: "nats://" + between.address, APIPrefix: "$JS.API", InboxPrefix: "_INBOX"}
	nc, err := Connect(t.Context(), c, slog.New(slog.DiscardHandler))
	if err != nil {
		t.Fatal(err)
	}
	again := make(chan struct{})
	nc.SetReconnectHandler(func(*nats.Conn) { close(again) })
	between.cut()
	var filled sync.WaitGroup
	t.Cleanup(filled.Wait)
	t.Cleanup(nc.Close)
	filled.Go(func() {
		for range 400 { // 25 MB: more than the buffers of two connections
			if nc.Publish("somewhere", make([]byte, 64<<10)) != nil {
				return
			}
		}
	})
	select {
	case <-again:
	case <-time.After(servicetest.Patience):
		t.Error("the connection that leads nowhere is still held on to")
	}
}

// awayOnce is JetStream that does not answer one of the questions for what is there.
type awayOnce struct {
	jetstream.JetStream
	which     int64
	questions atomic.Int64
}

func (a *awayOnce) away() bool { return a.questions.Add(1) == a.which }

func (a *awayOnce) Stream(ctx context.Context, name string) (jetstream.Stream, error) {
	if a.away() {
		return nil, context.DeadlineExceeded
	}
	return a.JetStream.Stream(ctx, name)
}

func (a *awayOnce) Consumer(ctx context.Context, stream, name string) (jetstream.Consumer, error) {
	if a.away() {
		return nil, context.DeadlineExceeded
	}
	return a.JetStream.Consumer(ctx, stream, name)
}

// A NATS that goes away while the service starts is waited for, whatever the service
// has just asked it.
func TestAwayDuringTheStart(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	tel, err := telemetry.Setup(t.Context(), telemetry.Config{LogLevel: "DEBUG", LogFormat: "json", Output: b.log, SpanExporter: b.spans})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = tel.Shutdown(context.Background()) })
	start := func(t *testing.T, which int64) (questions int64) {
		t.Helper()
		conn := b.connect()
		a := &awayOnce{JetStream: conn.JetStream, which: which}
		conn.JetStream = a
		bus, err := open(b.Context(), conn, b.config, tel)
		if err != nil {
			t.Fatal(err)
		}
		if bus.conn.waited != (which > 0) {
			t.Errorf("waited: got %t", bus.conn.waited)
		}
		return a.questions.Load()
	}
	for which := range start(t, 0) {
		t.Run(fmt.Sprint("question ", which+1), func(t *testing.T) {
			t.Parallel()
			start(t, which+1)
		})
	}
}
