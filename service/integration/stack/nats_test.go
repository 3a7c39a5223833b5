//go:build integration

package stack

import (
	"fmt"
	"math/rand/v2"
	"net"
	"net/netip"
	"strconv"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"

	"gemini-client/service/servicetest"
)

// single is the configuration of a server that is alone; the first value is
// its name.
const single = `server_name: %s
listen: 0.0.0.0:4222
jetstream { store_dir: /data, sync_interval: always }
`

// natsServer is a nats-server with its files on a volume.
type natsServer struct {
	*box
	url string // for the test; the service reaches it by its name on the network
}

// nats starts a server with a configuration. Its port on this machine is fixed,
// so that the test finds it again after a restart.
func (s *stage) nats(name, config string, options ...testcontainers.ContainerCustomizer) *natsServer {
	s.t.Helper()
	port := s.freePort()
	options = append([]testcontainers.ContainerCustomizer{
		testcontainers.WithCmd("--config", "/etc/nats/nats.conf"),
		file("/etc/nats/nats.conf", config),
		testcontainers.WithExposedPorts("4222/tcp"),
		testcontainers.WithHostConfigModifier(func(c *container.HostConfig) {
			c.PortBindings = network.PortMap{network.MustParsePort("4222/tcp"): {{HostIP: s.outlet(), HostPort: port}}}
		}),
		testcontainers.WithConfigModifier(func(c *container.Config) { c.Volumes = map[string]struct{}{"/data": {}} }),
		testcontainers.WithWaitStrategy(wait.ForLog("Server is ready").WithStartupTimeout(patience)),
	}, options...)
	b := s.run(name, image(natsImage), options...)
	host, err := b.Host(s.t.Context())
	s.must("where the engine is", err)
	return &natsServer{box: b, url: "nats://" + net.JoinHostPort(host, port)}
}

// freePort is below the range that outgoing connections take theirs from.
func (s *stage) freePort() string {
	s.t.Helper()
	for {
		port := strconv.Itoa(10_000 + rand.IntN(20_000))
		l, err := net.Listen("tcp", ":"+port)
		if err != nil {
			continue // taken
		}
		l.Close()
		return port
	}
}

// outlet is the address of the engine's machine where ports are published:
// loopback, since nobody else has any business there, or any where the engine
// is not on this machine.
func (s *stage) outlet() netip.Addr {
	s.t.Helper()
	engine, err := testcontainers.NewDockerProvider()
	s.must("where the engine is", err)
	defer engine.Close()
	host, err := engine.DaemonHost(s.t.Context())
	s.must("where the engine is", err)
	if host == "localhost" {
		return netip.AddrFrom4([4]byte{127, 0, 0, 1})
	}
	return netip.Addr{}
}

// published lets the test reach ports of a container.
func (s *stage) published(ports ...string) testcontainers.CustomizeRequestOption {
	s.t.Helper()
	outlet := s.outlet()
	return func(r *testcontainers.GenericContainerRequest) error {
		if err := testcontainers.WithExposedPorts(ports...)(r); err != nil {
			return err
		}
		return testcontainers.WithHostConfigModifier(func(c *container.HostConfig) {
			c.PortBindings = network.PortMap{}
			for _, port := range ports {
				c.PortBindings[network.MustParsePort(port)] = []network.PortBinding{{HostIP: outlet}}
			}
		})(r)
	}
}

// backend is a user of the service, outside the containers.
func (s *stage) backend(urls string, options ...nats.Option) *servicetest.Backend {
	s.t.Helper()
	options = append([]nats.Option{nats.MaxReconnects(-1), nats.ReconnectWait(50 * time.Millisecond), nats.PingInterval(2 * time.Second), nats.Timeout(10 * time.Second)}, options...)
	nc, err := nats.Connect(urls, options...)
	s.must("connect to "+urls, err)
	s.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc, jetstream.WithDefaultTimeout(2*time.Second))
	s.must("JetStream", err)
	return &servicetest.Backend{T: s.t, NC: nc, JS: js, Names: servicetest.Names(), Patience: patience}
}

// clusterConfig is a server's of three; they know each other by their names.
func clusterConfig(name string, all []string) string {
	var routes []string
	for _, other := range all {
		routes = append(routes, fmt.Sprintf("nats://%s:6222", other))
	}
	return fmt.Sprintf(single, name) +
		fmt.Sprintf("cluster { name: stack, listen: 0.0.0.0:6222, no_advertise: true, routes: [%s] }\n", strings.Join(routes, ", "))
}
