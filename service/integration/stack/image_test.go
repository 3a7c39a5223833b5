//go:build integration

package stack

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/client"

	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// largest is what the image may weigh, in bytes.
const largest = 40 << 20

func TestTheImageItself(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	inspected, err := s.docker.ImageInspect(t.Context(), serviceImage())
	s.must("inspect the image", err)
	if inspected.Size > largest {
		t.Errorf("the image has %d bytes, want at most %d", inspected.Size, largest)
	}
	t.Logf("the image has %.1f MB", float64(inspected.Size)/1e6)
	user, _, _ := strings.Cut(inspected.Config.User, ":")
	if user == "" || strings.Trim(user, "0123456789") != "" || user == "0" {
		t.Errorf("user %q, want the number of one that is not root", inspected.Config.User)
	}
	if inspected.Config.Healthcheck == nil || len(inspected.Config.Healthcheck.Test) < 2 {
		t.Error("the image has no health check")
	}
	if got := inspected.Config.Labels["org.opencontainers.image.version"]; got != stamp {
		t.Errorf("label org.opencontainers.image.version %q, want %q", got, stamp)
	}
	code, output := s.finish("version", []string{"version"}, nil)
	if want := "gemini-client " + stamp; code != 0 || strings.TrimSpace(output) != want {
		t.Errorf("version: exit code %d, %q, want %q", code, output, want)
	}
}

// The hardened image answers a request through a real server, is seen to be
// healthy, and ends properly with a call in flight.
func TestTheImageServes(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	net := s.network()
	n := s.nats("nats", fmt.Sprintf(single, "nats"), on(net, "nats"))
	up := s.upstream(simulator.Config{})
	w := s.worker("worker", settings{"OPENROUTER_BASE_URL": up.url}, on(net, "worker"))
	b := s.backend(n.url)

	id := b.Ask("Why is the sky blue?", map[string]any{"metadata": map[string]any{"n": 1}})
	r := b.Result(id)
	if r.Subject != "gemini.responses.completed."+id || r.Result.Content == nil || !strings.Contains(*r.Result.Content, "sky blue") {
		t.Errorf("result on %s: %s", r.Subject, r.Body)
	}
	s.until("the container is healthy", func() (string, bool) {
		state, err := w.State(t.Context())
		s.must("state", err)
		if state.Health == nil {
			t.Fatal("the container has no health check")
		}
		var said string
		for _, probe := range state.Health.Log {
			said = probe.Output
		}
		return fmt.Sprintf("%s: %s", state.Health.Status, said), state.Health.Status == container.Healthy
	})
	w.runsUnprivileged()

	release := up.Hold()
	last := b.Ask("One more?", nil)
	up.called(2)
	w.signal("SIGTERM")
	s.until("the worker has received the signal", func() (string, bool) { return "", strings.Contains(w.log(), "stopping") })
	release()
	if code := w.exit(); code != 0 {
		t.Errorf("exit code %d after SIGTERM, want 0", code)
	}
	if r := b.Result(last); r.Subject != "gemini.responses.completed."+last {
		t.Errorf("the call in flight ended as %s: %s", r.Subject, r.Body)
	}
	b.Idle()
}

// runsUnprivileged checks who the service's process is. Beside it come and go
// the health checks, and the engine's processes that start them.
func (w *worker) runsUnprivileged() {
	w.stage.t.Helper()
	top, err := w.stage.docker.ContainerTop(w.stage.t.Context(), w.ID, client.ContainerTopOptions{Arguments: []string{"-o", "uid,pid,args"}})
	w.stage.must("processes", err)
	engine, err := w.stage.docker.Info(w.stage.t.Context(), client.InfoOptions{})
	w.stage.must("the engine's settings", err)
	mapped := slices.ContainsFunc(engine.Info.SecurityOptions, func(option string) bool { // users have other numbers outside
		return strings.Contains(option, "name=userns") || strings.Contains(option, "name=rootless")
	})
	uid, args := slices.Index(top.Titles, "UID"), len(top.Titles)-1
	serving := slices.DeleteFunc(slices.Clone(top.Processes), func(p []string) bool { return !strings.HasSuffix(p[args], " serve") })
	if uid < 0 || len(serving) != 1 || serving[0][uid] == "0" || serving[0][uid] != "65532" && !mapped {
		w.stage.t.Errorf("processes %v %v, want one that serves, and it user 65532's", top.Titles, top.Processes)
	}
}

// Problems of the configuration are reported at once, with exit code 2.
func TestTheImageReportsProblems(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	tests := map[string]struct {
		env  settings
		says []string
	}{
		"no key":                   {nil, []string{"OPENROUTER_API_KEYS"}},
		"empty key file":           {settings{"OPENROUTER_API_KEYS_FILE": "/nowhere"}, []string{"OPENROUTER_API_KEYS_FILE", "/nowhere"}},
		"two problems":             {settings{"OPENROUTER_API_KEYS": servicetest.Key, "ACK_WAIT": "1s", "LOG_FORMAT": "xml"}, []string{"ACK_WAIT", "LOG_FORMAT"}},
		"a server that it has not": {settings{"OPENROUTER_API_KEYS": servicetest.Key, "NATS_EMBEDDED": "true"}, []string{"NATS_EMBEDDED", "NATS_URL"}},
		"a real key, unencrypted": {
			settings{"OPENROUTER_API_KEYS": "sk-or-v1-0123456789", "OPENROUTER_BASE_URL": "http://openrouter.test/api/v1"},
			[]string{"OPENROUTER_BASE_URL", "https://"},
		},
	}
	for name, test := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			code, output := (&stage{t: t, docker: s.docker}).finish(name, nil, test.env)
			if code != 2 {
				t.Errorf("exit code %d, want 2: %s", code, output)
			}
			for _, want := range test.says {
				if !strings.Contains(output, want) {
					t.Errorf("no %q in %q", want, output)
				}
			}
			if key := test.env["OPENROUTER_API_KEYS"]; key != "" && strings.Contains(output, key) {
				t.Errorf("the key is in %q", output)
			}
		})
	}
}
