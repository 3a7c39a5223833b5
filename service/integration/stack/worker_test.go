//go:build integration

package stack

import (
	"fmt"
	"maps"
	"net/http"
	"regexp"
	"strings"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"

	"gemini-client/service/servicetest"
)

// settings are environment variables.
type settings map[string]string

// and returns both; the other's values win.
func (s settings) and(other settings) settings {
	all := maps.Clone(s)
	maps.Copy(all, other)
	return all
}

// worker is a container of the service's image.
type worker struct {
	*box
	key string // its own, so that the upstream knows who calls
}

// worker starts the service and waits until it answers requests.
func (s *stage) worker(name string, env settings, options ...testcontainers.ContainerCustomizer) *worker {
	s.t.Helper()
	key := servicetest.Key + "-" + name
	env = settings{"NATS_URL": "nats://nats:4222", "OPENROUTER_API_KEYS": key}.and(env)
	options = append(options, testcontainers.WithWaitStrategy(wait.ForLog("answering requests").WithStartupTimeout(patience)))
	return &worker{box: s.command(name, nil, env, options...), key: key}
}

// command starts the program with other arguments than the image's own.
func (s *stage) command(name string, args []string, env settings, options ...testcontainers.ContainerCustomizer) *box {
	s.t.Helper()
	options = append([]testcontainers.ContainerCustomizer{
		testcontainers.WithEnv(env),
		testcontainers.WithHostConfigModifier(hardened),
		testcontainers.WithHostConfigModifier(func(c *container.HostConfig) { c.ExtraHosts = []string{hostName + ":host-gateway"} }),
		testcontainers.WithConfigModifier(func(c *container.Config) {
			c.Healthcheck = &container.HealthConfig{Interval: 500 * time.Millisecond} // the test stays the image's own
		}),
	}, options...)
	if args != nil {
		options = append(options, testcontainers.WithCmd(args...))
	}
	return s.run(name, serviceImage(), options...)
}

// finish runs the program to its end and returns its exit code and output.
func (s *stage) finish(name string, args []string, env settings, options ...testcontainers.ContainerCustomizer) (code int, output string) {
	s.t.Helper()
	b := s.command(name, args, env, append(options, testcontainers.WithWaitStrategy(wait.ForExit().WithExitTimeout(patience)))...)
	return b.exit(), b.log()
}

// again restarts the worker and waits until it answers requests.
func (w *worker) again() {
	w.stage.t.Helper()
	const up = `msg="answering requests"`
	before := strings.Count(w.log(), up)
	w.restart()
	w.stage.until(w.name+" answers requests again", func() (string, bool) {
		log := w.log()
		return tail(log, 1), strings.Count(log, up) > before
	})
}

// server is the NATS server that the worker is connected to, as it logged last.
func (w *worker) server() string {
	w.stage.t.Helper()
	said := regexp.MustCompile(`msg="answering requests".* nats=nats://(\w+):4222 |msg="connected to NATS again" server=(\w+)`).FindAllStringSubmatch(w.log(), -1)
	if len(said) == 0 {
		w.stage.t.Fatalf("%s does not say where it is connected to", w.name)
	}
	last := said[len(said)-1]
	return last[1] + last[2]
}

// ready is the status of /readyz, of a worker whose port 8080 is published. It
// has to be answered at once, whatever the worker's connection does.
func (w *worker) ready() (status int) {
	w.stage.t.Helper()
	url, err := w.PortEndpoint(w.stage.t.Context(), "8080/tcp", "http")
	w.stage.must("port of "+w.name, err)
	status, body, err := w.stage.get(url + "/readyz")
	if err != nil || status != http.StatusOK && status != http.StatusServiceUnavailable {
		w.stage.t.Errorf("/readyz of %s: status %d, %q, %v, want 200 or 503", w.name, status, body, err)
	}
	return status
}

// moves waits until the worker has found another server and is ready there.
func (w *worker) moves(from string) {
	w.stage.t.Helper()
	w.stage.until(w.name+" has left "+from, func() (string, bool) {
		status, server := w.ready(), w.server()
		return fmt.Sprintf("on %s, /readyz %d", server, status), status == http.StatusOK && server != from
	})
}

// leave stops the worker with SIGTERM and checks that it behaved.
func (w *worker) leave() {
	w.stage.t.Helper()
	w.signal("SIGTERM")
	if code := w.exit(); code != 0 {
		w.stage.t.Errorf("%s: exit code %d after SIGTERM with nothing to do, want 0", w.name, code)
	}
	for line := range strings.Lines(w.log()) {
		if strings.Contains(line, "level=ERROR") || strings.HasPrefix(line, "panic:") || strings.Contains(line, "DATA RACE") {
			w.stage.t.Errorf("%s: %s", w.name, line)
		}
	}
}
