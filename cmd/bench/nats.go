package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"os"
	"path/filepath"
	"strings"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
)

// readyTime is how long a process may take until it is up.
const readyTime = time.Minute

// playNATS runs a nats-server of the version in go.mod with a configuration file.
func playNATS(_ context.Context, args string, serve serveFunc) error {
	options, err := server.ProcessConfigFile(args)
	if err != nil {
		return err
	}
	options.NoSigs = true
	s, err := server.NewServer(options)
	if err != nil {
		return err
	}
	s.ConfigureLogger()
	s.Start()
	defer func() { s.Shutdown(); s.WaitForShutdown() }()
	if !s.ReadyForConnections(readyTime) {
		return errors.New("nats-server is not ready")
	}
	return serve(struct{}{}, nothing)
}

// A server is one process of nats-server.
type natsServer struct {
	*child
	url     string
	monitor string // its HTTP address
}

// startNATS starts one server, or as many as a cluster has. binary is a nats-server,
// or "" for the one inside this program.
func startNATS(ctx context.Context, dir, binary string, servers int, always bool) (_ []natsServer, err error) {
	ports, err := freePorts(ctx, 3*servers)
	if err != nil {
		return nil, err
	}
	var all []natsServer
	defer func() {
		if err != nil {
			for _, s := range all {
				err = errors.Join(err, s.stop())
			}
		}
	}()
	for i := range servers {
		file := filepath.Join(dir, fmt.Sprintf("nats%d.conf", i))
		if err := os.WriteFile(file, []byte(natsConfig(dir, i, ports, always)), 0o600); err != nil {
			return nil, err
		}
		var p *child
		if binary == "" {
			p, err = startPart(ctx, dir, "nats", file, &struct{}{})
		} else {
			p, err = startChild(ctx, command{name: "nats", path: binary, args: []string{"-c", file}, log: filepath.Join(dir, "nats.log")})
		}
		if err != nil {
			return nil, err
		}
		all = append(all, natsServer{child: p, url: fmt.Sprintf("nats://127.0.0.1:%d", ports[3*i]), monitor: fmt.Sprintf("http://127.0.0.1:%d", ports[3*i+1])})
	}
	return all, nil
}

// natsConfig is the configuration of server i. Each has three ports: clients, HTTP,
// routes.
func natsConfig(dir string, i int, ports []int, always bool) string {
	var c strings.Builder
	fmt.Fprintf(&c, "server_name: n%d\nlisten: \"127.0.0.1:%d\"\nhttp: \"127.0.0.1:%d\"\n", i, ports[3*i], ports[3*i+1])
	fmt.Fprintf(&c, "jetstream { store_dir: %q, max_file_store: 64GB", filepath.Join(dir, fmt.Sprintf("store%d", i)))
	if always {
		c.WriteString(", sync_interval: always")
	}
	c.WriteString(" }\n")
	if len(ports) > 3 {
		fmt.Fprintf(&c, "cluster { name: bench, listen: \"127.0.0.1:%d\", routes: [", ports[3*i+2])
		for j := 2; j < len(ports); j += 3 {
			fmt.Fprintf(&c, "\"nats://127.0.0.1:%d\", ", ports[j])
		}
		c.WriteString("] }\n")
	}
	return c.String()
}

// freePorts returns ports that were free a moment ago.
func freePorts(ctx context.Context, n int) (ports []int, err error) {
	for range n {
		l, err := (&net.ListenConfig{}).Listen(ctx, "tcp", "127.0.0.1:0")
		if err != nil {
			return nil, err
		}
		defer l.Close()                                     //nolint:errcheck // all are held until there are enough
		ports = append(ports, l.Addr().(*net.TCPAddr).Port) // a TCP listener has a TCP address
	}
	return ports, nil
}

// connect waits for the servers.
func connect(ctx context.Context, urls string) (*nats.Conn, error) {
	connected := make(chan struct{}, 1)
	nc, err := nats.Connect(urls, nats.Name("bench"), nats.RetryOnFailedConnect(true), nats.MaxReconnects(-1), nats.ReconnectWait(20*time.Millisecond),
		nats.ConnectHandler(func(*nats.Conn) { connected <- struct{}{} }))
	if err != nil {
		return nil, err
	}
	ctx, cancel := context.WithTimeout(ctx, readyTime)
	defer cancel()
	select {
	case <-connected:
		return nc, nil
	case <-ctx.Done():
		nc.Close()
		return nil, fmt.Errorf("nats-server does not answer: %w", context.Cause(ctx))
	}
}
