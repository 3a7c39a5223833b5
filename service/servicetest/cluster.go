package servicetest

import (
	"bufio"
	"context"
	"encoding/binary"
	"io"
	"net"
	"net/url"
	"strconv"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
)

// Cluster is three embedded nats-servers with JetStream. The last one reaches the
// others through a filter that can keep single streams from it.
type Cluster struct {
	URLs [3]string

	mu      sync.Mutex
	stalled map[string]struct{} // Raft groups, and the reply subjects of their leaders
}

// RunCluster starts a cluster that ends with the test.
func RunCluster(tb testing.TB) *Cluster {
	tb.Helper()
	c := &Cluster{stalled: map[string]struct{}{}}
	var routes []string
	for i := range c.URLs {
		o := server.Options{
			ServerName: "n" + strconv.Itoa(i+1), Host: "127.0.0.1", Port: server.RANDOM_PORT,
			JetStream: true, StoreDir: tb.TempDir(), NoLog: true, NoSigs: true,
			Cluster: server.ClusterOpts{
				Name: "test", Host: "127.0.0.1", Port: server.RANDOM_PORT, PoolSize: -1,
				Compression: server.CompressionOpts{Mode: server.CompressionOff},
			},
			Routes: []*url.URL{{Scheme: "nats", Host: "127.0.0.1:1"}}, // nobody: JetStream is clustered only where there are routes
		}
		last := make(chan string, 1)
		if i == len(c.URLs)-1 {
			o.Cluster.Advertise = c.filter(tb, last) // the others hear of it from each other
		}
		for _, address := range routes {
			if i == len(c.URLs)-1 {
				to := make(chan string, 1)
				to <- address
				address = c.filter(tb, to)
			}
			o.Routes = append(o.Routes, &url.URL{Scheme: "nats", Host: address})
		}
		s := c.start(tb, &o)
		last <- s.ClusterAddr().String()
		c.URLs[i] = s.ClientURL()
		routes = append(routes, s.ClusterAddr().String())
	}
	return c
}

func (c *Cluster) start(tb testing.TB, o *server.Options) *server.Server {
	tb.Helper()
	s, err := server.NewServer(o)
	if err != nil {
		tb.Fatalf("nats-server: %v", err)
	}
	s.Start()
	tb.Cleanup(func() { s.Shutdown(); s.WaitForShutdown() })
	if !s.ReadyForConnections(ready) {
		tb.Fatal("nats-server does not start")
	}
	return s
}

// Stall keeps what a stream's leader stores from the last server: its copy stays as
// it is, though the server works and knows the leader. group is the stream's Raft
// group.
func (c *Cluster) Stall(group string) {
	c.mu.Lock()
	defer c.mu.Unlock()
	c.stalled[group] = struct{}{}
}

// Resume ends every Stall.
func (c *Cluster) Resume() {
	c.mu.Lock()
	defer c.mu.Unlock()
	clear(c.stalled)
}

// filter returns the address of a filter before a route port, which comes later.
func (c *Cluster) filter(tb testing.TB, target <-chan string) string {
	tb.Helper()
	l, err := (&net.ListenConfig{}).Listen(tb.Context(), "tcp", "127.0.0.1:0")
	if err != nil {
		tb.Fatal(err)
	}
	ended := make(chan struct{})
	var all sync.WaitGroup
	all.Go(func() {
		var address string
		select {
		case address = <-target:
		case <-ended:
			return
		}
		for {
			from, err := l.Accept()
			if err != nil {
				return
			}
			all.Go(func() { c.route(from, address) })
		}
	})
	tb.Cleanup(func() { close(ended); _ = l.Close(); all.Wait() }) // after the servers, which end the routes
	return l.Addr().String()
}

func (c *Cluster) route(from net.Conn, target string) {
	defer from.Close() //nolint:errcheck // it may be closed already
	to, err := (&net.Dialer{}).DialContext(context.Background(), "tcp", target)
	if err != nil {
		return
	}
	defer to.Close() //nolint:errcheck // it may be closed already
	var both sync.WaitGroup
	both.Go(func() { c.copy(to, from) })
	c.copy(from, to)
	both.Wait()
}

// copy carries one direction of the routes' protocol, message by message.
func (c *Cluster) copy(to, from net.Conn) {
	defer to.Close()   //nolint:errcheck // it may be closed already
	defer from.Close() //nolint:errcheck // the same
	r := bufio.NewReaderSize(from, 64<<10)
	for {
		fields, frame, header, err := readFrame(r)
		if err != nil {
			return
		}
		if c.drops(fields, frame[header:]) {
			continue
		}
		if _, err := to.Write(frame); err != nil {
			return
		}
	}
}

// readFrame reads a line of the protocol, as fields, and the payload behind it if
// it is a message. frame is all of it, header how long the line is.
func readFrame(r *bufio.Reader) (fields []string, frame []byte, header int, err error) {
	if frame, err = r.ReadBytes('\n'); err != nil {
		return nil, nil, 0, err
	}
	fields, header = strings.Fields(string(frame)), len(frame)
	if len(fields) < 3 || !strings.Contains("RMSG HMSG LMSG", fields[0]) {
		return fields, frame, header, nil
	}
	size, err := strconv.Atoi(fields[len(fields)-1])
	if err != nil {
		return nil, nil, 0, err
	}
	frame = append(frame, make([]byte, size+len("\r\n"))...)
	_, err = io.ReadFull(r, frame[header:])
	return fields, frame, header, err
}

// entriesAt is where the number of entries is in an append entry of Raft
// (nats-server, raft.go): behind leader, term, commit, and the previous term and
// index, of 8 bytes each.
const entriesAt = 5 * 8

// drops reports whether a message must not pass: what a leader stores, and what
// the copy asks the leader for. Heartbeats, which are without entries, pass.
func (c *Cluster) drops(fields []string, payload []byte) bool {
	c.mu.Lock()
	defer c.mu.Unlock()
	for i, subject := range fields {
		if _, asks := c.stalled[subject]; asks {
			return true
		}
		group, isAppend := strings.CutPrefix(subject, "$NRG.AE.")
		if _, stalls := c.stalled[group]; isAppend && stalls {
			if i+2 < len(fields) {
				c.stalled[fields[i+1]] = struct{}{} // where the copy answers
			}
			return len(payload) < entriesAt+2 || binary.LittleEndian.Uint16(payload[entriesAt:]) > 0
		}
	}
	return false
}
