//go:build integration

package integration

import (
	"encoding/json"
	"errors"
	"fmt"
	"math/rand/v2"
	"net"
	"net/url"
	"os"
	"os/signal"
	"strconv"
	"sync"
	"syscall"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
)

// startLimit is how long a child may take to start, on a cold machine too.
const startLimit = time.Minute

// nodeOptions are the options of a nats-server child.
type nodeOptions struct {
	Name        string   `json:"name"`
	Store       string   `json:"store"`
	Port        int      `json:"port"`
	ClusterPort int      `json:"cluster_port"` // 0: alone
	Routes      []string `json:"routes"`
	MaxPayload  int32    `json:"max_payload"` // 0: NATS's own
}

// serveNode is the child: a nats-server until SIGTERM, which ends it gracefully.
func serveNode(text string) int {
	var n nodeOptions
	if err := json.Unmarshal([]byte(text), &n); err != nil {
		return complain(err)
	}
	options := &server.Options{
		ServerName: n.Name, Host: "127.0.0.1", Port: n.Port,
		JetStream: true, StoreDir: n.Store, NoLog: true, NoSigs: true, MaxPayload: n.MaxPayload,
	}
	if n.ClusterPort != 0 {
		options.Cluster = server.ClusterOpts{
			Name: "chaos", Host: "127.0.0.1", Port: n.ClusterPort,
			NoAdvertise: true, // clients keep to the forwarders that they know
		}
		for _, route := range n.Routes {
			u, err := url.Parse(route)
			if err != nil {
				return complain(err)
			}
			options.Routes = append(options.Routes, u)
		}
	}
	stop := make(chan os.Signal, 1)
	signal.Notify(stop, syscall.SIGTERM)
	s, err := server.NewServer(options)
	if err != nil {
		return complain(err)
	}
	s.Start()
	if !s.ReadyForConnections(startLimit) {
		return complain(errors.New("nats-server does not start"))
	}
	<-stop
	s.Shutdown()
	s.WaitForShutdown()
	return 0
}

// node is a nats-server in a process of its own. It keeps port and files.
type node struct {
	options nodeOptions
	url     string
	output  journal

	mu      sync.Mutex
	current *process
	closed  bool
}

// newNodes returns servers that are not started yet: one, or a cluster.
func newNodes(t *testing.T, n int, maxPayload int32) []*node {
	t.Helper()
	ports := freePorts(t, 2*n)
	var nodes []*node
	var routes []string
	for i := range n {
		o := nodeOptions{Name: fmt.Sprintf("nats-%d", i+1), Store: t.TempDir(), Port: ports[i], MaxPayload: maxPayload}
		if n > 1 {
			o.ClusterPort = ports[n+i]
			routes = append(routes, "nats://127.0.0.1:"+strconv.Itoa(o.ClusterPort))
		}
		nodes = append(nodes, &node{options: o, url: "nats://127.0.0.1:" + strconv.Itoa(o.Port)})
	}
	for _, node := range nodes {
		node.options.Routes = routes
		t.Cleanup(node.close)
	}
	return nodes
}

// freePorts are below the range that outgoing connections take theirs from: a
// client that tries to reach a dead server must not sit on its port.
func freePorts(t *testing.T, n int) []int {
	t.Helper()
	var ports []int
	for len(ports) < n {
		l, err := net.Listen("tcp", "127.0.0.1:"+strconv.Itoa(10_000+rand.IntN(20_000)))
		if err != nil {
			continue // taken
		}
		defer l.Close()
		ports = append(ports, l.Addr().(*net.TCPAddr).Port)
	}
	return ports
}

// start starts the server if it does not run, and returns without waiting.
func (n *node) start() error {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.closed || n.current != nil && !n.current.ended() {
		return nil
	}
	text, err := json.Marshal(n.options)
	if err != nil {
		return err
	}
	self, err := os.Executable()
	if err != nil {
		return err
	}
	n.current, err = spawn(&n.output, []string{envNode + "=" + string(text)}, self)
	return err
}

// end stops the server, with SIGTERM (gracefully) or SIGKILL, and waits for
// its end.
func (n *node) end(s syscall.Signal) {
	n.mu.Lock()
	defer n.mu.Unlock()
	if n.current != nil {
		n.current.signal(s)
		n.current.exit()
	}
}

func (n *node) close() {
	n.end(syscall.SIGKILL)
	n.mu.Lock()
	defer n.mu.Unlock()
	n.closed = true
}
