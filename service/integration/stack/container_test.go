//go:build integration

package stack

import (
	"context"
	"io"
	"net/http"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/moby/moby/api/types/network"
	"github.com/moby/moby/client"
	"github.com/testcontainers/testcontainers-go"
	tcnetwork "github.com/testcontainers/testcontainers-go/network"
)

// patience is how long a test waits for a condition before it fails. It is no part
// of any assertion: conditions hold much sooner.
const patience = 2 * time.Minute

// stage owns the networks and containers of one test; they end with it.
type stage struct {
	t      *testing.T
	docker *testcontainers.DockerClient
}

func newStage(t *testing.T) *stage {
	t.Helper()
	docker, err := reach(t.Context())
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { _ = docker.Close() })
	return &stage{t: t, docker: docker}
}

func (s *stage) must(what string, err error) {
	s.t.Helper()
	if err != nil {
		s.t.Fatalf("%s: %v", what, err)
	}
}

// until polls until a condition holds. It fails the test with the state that was
// seen last.
func (s *stage) until(what string, holds func() (seen string, ok bool)) {
	s.t.Helper()
	ctx, cancel := context.WithTimeout(s.t.Context(), patience)
	defer cancel()
	tick := time.NewTicker(50 * time.Millisecond)
	defer tick.Stop()
	for {
		seen, ok := holds()
		if ok {
			return
		}
		select {
		case <-tick.C:
		case <-ctx.Done():
			s.t.Fatalf("timed out waiting for: %s; last seen: %s", what, seen)
		}
	}
}

// get asks for a page once, and waits for it ten seconds.
func (s *stage) get(url string) (status int, body string, err error) {
	ctx, cancel := context.WithTimeout(s.t.Context(), 10*time.Second)
	defer cancel()
	request, err := http.NewRequestWithContext(ctx, http.MethodGet, url, http.NoBody)
	if err != nil {
		return 0, "", err
	}
	response, err := http.DefaultClient.Do(request)
	if err != nil {
		return 0, "", err
	}
	defer response.Body.Close()
	text, err := io.ReadAll(response.Body)
	return response.StatusCode, string(text), err
}

// network makes a network of its own.
func (s *stage) network(options ...tcnetwork.NetworkCustomizer) *testcontainers.DockerNetwork {
	s.t.Helper()
	n, err := tcnetwork.New(s.t.Context(), append(options, tcnetwork.WithLabels(ours()))...)
	testcontainers.CleanupNetwork(s.t, n)
	s.must("network", err)
	return n
}

// on puts a container into a network, under a name.
func on(n *testcontainers.DockerNetwork, name string) testcontainers.CustomizeRequestOption {
	return tcnetwork.WithNetwork([]string{name}, n)
}

// file puts a text into a container.
func file(path, text string) testcontainers.CustomizeRequestOption {
	return testcontainers.WithFiles(testcontainers.ContainerFile{Reader: strings.NewReader(text), ContainerFilePath: path, FileMode: 0o644})
}

// box is a container.
type box struct {
	*testcontainers.DockerContainer
	name  string
	stage *stage
}

// run starts a container, waits as the options say, and removes it with the
// test. If that fails, it logs what the container wrote last.
func (s *stage) run(name, image string, options ...testcontainers.ContainerCustomizer) *box {
	s.t.Helper()
	c, err := testcontainers.Run(s.t.Context(), image, append(options, testcontainers.WithLabels(ours()))...)
	testcontainers.CleanupContainer(s.t, c, testcontainers.StopTimeout(0))
	b := &box{DockerContainer: c, name: name, stage: s}
	if c != nil {
		s.t.Cleanup(b.tell)
	}
	if err != nil {
		s.t.Fatalf("start %s (image %s; `make images` builds what cannot be pulled): %v", name, image, err)
	}
	return b
}

// tell logs the container's last lines, if the test failed.
func (b *box) tell() {
	if b.stage.t.Failed() {
		b.stage.t.Logf("the last lines of %s:\n%s", b.name, tail(b.log(), 50))
	}
}

// log is everything that the container has written.
func (b *box) log() string {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(b.stage.t.Context()), patience)
	defer cancel()
	stream, err := b.Logs(ctx)
	if err != nil {
		return err.Error()
	}
	defer stream.Close()
	text, err := io.ReadAll(stream)
	if err != nil {
		return string(text) + err.Error()
	}
	return string(text)
}

// kill is kill -9. It returns when the container has stopped.
func (b *box) kill() {
	b.stage.t.Helper()
	b.signal("SIGKILL")
	b.exit()
}

func (b *box) signal(name string) {
	b.stage.t.Helper()
	_, err := b.stage.docker.ContainerKill(b.stage.t.Context(), b.ID, client.ContainerKillOptions{Signal: name})
	b.stage.must(name+" to "+b.name, err)
}

// exit waits for the end of the container's process and returns its exit code.
func (b *box) exit() (code int) {
	b.stage.t.Helper()
	b.stage.until(b.name+" has ended", func() (string, bool) {
		state, err := b.State(b.stage.t.Context())
		b.stage.must("state of "+b.name, err)
		code = state.ExitCode
		return string(state.Status), !state.Running
	})
	return code
}

// restart is docker restart: SIGTERM, the end, the same files again.
func (b *box) restart() {
	b.stage.t.Helper()
	_, err := b.stage.docker.ContainerRestart(b.stage.t.Context(), b.ID, client.ContainerRestartOptions{})
	b.stage.must("restart "+b.name, err)
}

// start starts a container that has ended, with the same files.
func (b *box) start() {
	b.stage.t.Helper()
	_, err := b.stage.docker.ContainerStart(b.stage.t.Context(), b.ID, client.ContainerStartOptions{})
	b.stage.must("start "+b.name, err)
}

// paused stops all processes of the container for as long as the function
// takes.
func (b *box) paused(during func()) {
	b.stage.t.Helper()
	ctx := context.WithoutCancel(b.stage.t.Context())
	_, err := b.stage.docker.ContainerPause(ctx, b.ID, client.ContainerPauseOptions{})
	b.stage.must("pause "+b.name, err)
	defer func() {
		_, err := b.stage.docker.ContainerUnpause(ctx, b.ID, client.ContainerUnpauseOptions{})
		if err != nil {
			b.stage.t.Errorf("unpause %s: %v", b.name, err)
		}
	}()
	during()
}

// cutOff takes the container off a network for as long as the function takes.
func (b *box) cutOff(n *testcontainers.DockerNetwork, name string, during func()) {
	b.stage.t.Helper()
	ctx := context.WithoutCancel(b.stage.t.Context())
	_, err := b.stage.docker.NetworkDisconnect(ctx, n.ID, client.NetworkDisconnectOptions{Container: b.ID})
	b.stage.must("cut off "+b.name, err)
	defer func() {
		endpoint := &network.EndpointSettings{Aliases: []string{name}}
		_, err := b.stage.docker.NetworkConnect(ctx, n.ID, client.NetworkConnectOptions{Container: b.ID, EndpointConfig: endpoint})
		if err != nil {
			b.stage.t.Errorf("connect %s again: %v", b.name, err)
		}
	}()
	during()
}

// hardened is how the service is deployed: no capabilities, nothing to write to.
func hardened(c *container.HostConfig) {
	c.ReadonlyRootfs = true
	c.CapDrop = []string{"ALL"}
	c.SecurityOpt = []string{"no-new-privileges"}
}
