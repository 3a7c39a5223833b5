//go:build integration

package stack

import (
	"maps"
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
	options = append(options, testcontainers.WithWaitStrategy(wait.ForLog("answering requests")))
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
	b := s.command(name, args, env, append(options, testcontainers.WithWaitStrategy(wait.ForExit()))...)
	return b.exit(), b.log()
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
