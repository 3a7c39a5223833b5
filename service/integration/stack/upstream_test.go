//go:build integration

package stack

import (
	"fmt"
	"net"
	"net/http/httptest"
	"net/netip"
	"slices"
	"strconv"
	"time"

	"github.com/moby/moby/client"

	"gemini-client/service/openrouter/simulator"
)

// hostName is this machine, seen from a container.
const hostName = "host.docker.internal"

// upstream is the OpenRouter simulator in the test's process, so that the test can
// read its record of calls.
type upstream struct {
	*simulator.Simulator
	stage *stage
	url   string // for containers
}

// upstream starts a simulator that ends with the test.
func (s *stage) upstream(c simulator.Config) *upstream {
	s.t.Helper()
	sim := simulator.New(c)
	listener := s.listen()
	server := httptest.NewUnstartedServer(sim)
	server.Listener.Close()
	server.Listener = listener
	server.Start()
	s.t.Cleanup(func() {
		sim.Close()
		server.CloseClientConnections()
		server.Close()
	})
	port := listener.Addr().(*net.TCPAddr).Port
	return &upstream{Simulator: sim, stage: s, url: "http://" + net.JoinHostPort(hostName, strconv.Itoa(port)) + "/api/v1"}
}

// listen opens a port that containers reach as hostName and nobody outside this
// machine does: on our end of Docker's bridge or, where the engine has a machine
// of its own (Docker Desktop), on loopback.
func (s *stage) listen() net.Listener {
	s.t.Helper()
	bridge, err := s.docker.NetworkInspect(s.t.Context(), "bridge", client.NetworkInspectOptions{})
	s.must("Docker's bridge", err)
	addresses, err := net.InterfaceAddrs()
	s.must("addresses of this machine", err)
	host := "127.0.0.1"
	for _, c := range bridge.Network.IPAM.Config {
		for _, address := range addresses {
			if prefix, err := netip.ParsePrefix(address.String()); err == nil && c.Subnet.Contains(prefix.Addr()) {
				host = prefix.Addr().String()
			}
		}
	}
	l, err := net.Listen("tcp", net.JoinHostPort(host, "0"))
	s.must("listen", err)
	return l
}

// serving is the environment of a worker that calls this upstream. A call may
// be held for as long as a slow disk takes for the requests behind it.
func (u *upstream) serving(slots int, ackWait time.Duration) settings {
	return settings{
		"OPENROUTER_BASE_URL": u.url, "ACK_WAIT": ackWait.String(),
		"WORKER_CONCURRENCY": strconv.Itoa(slots), "FIRST_TOKEN_TIMEOUT": patience.String(),
	}
}

// busy waits until each of these workers has so many calls held, all it can.
func (u *upstream) busy(slots int, workers ...*worker) {
	u.stage.t.Helper()
	u.stage.until(fmt.Sprintf("%d calls held of each worker", slots), func() (string, bool) {
		held, byKey := u.Stats().Held, map[string]int{}
		for _, c := range u.Calls() {
			if c.Outcome == "" {
				byKey[c.Key]++
			}
		}
		idle := slices.ContainsFunc(workers, func(w *worker) bool { return byKey[w.key] < slots })
		return fmt.Sprintf("%d held, in flight %v", held, byKey), !idle && held == slots*len(workers)
	})
}

// called waits until so many calls have arrived.
func (u *upstream) called(n int) {
	u.stage.t.Helper()
	u.stage.until(strconv.Itoa(n)+" calls", func() (string, bool) {
		count := u.Count()
		return strconv.Itoa(count), count >= n
	})
}
