//go:build integration

package integration

import (
	"context"
	"fmt"
	"maps"
	"slices"
	"strconv"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// patience is how long a test waits for a condition before it fails. It is no part
// of any assertion: conditions hold much sooner.
const patience = 2 * time.Minute

// shape says what a world consists of; what is left out is one of each.
type shape struct {
	nodes, replicas int
	maxPayload      int32
	program         string
	env             map[string]string
	upstream        simulator.Config
}

// world is a test's own NATS, upstream, backend and replicas. The replicas are
// not started: run does that.
type world struct {
	t        *testing.T
	nodes    []*node
	upstream *servicetest.OpenRouter
	backend  *servicetest.Backend
	replicas []*replica
	outages  []span   // when NATS was away
	env      []string // of commands

	published *requestIDs
}

// newWorld starts NATS and an upstream and provisions the streams.
func newWorld(t *testing.T, s shape) *world {
	t.Helper()
	w := &world{t: t, published: &requestIDs{}, nodes: newNodes(t, max(1, s.nodes), s.maxPayload), upstream: servicetest.RunOpenRouter(t, s.upstream)}
	var urls []string
	for _, n := range w.nodes {
		w.must(n.start())
		urls = append(urls, n.url)
	}
	env := map[string]string{
		"OPENROUTER_BASE_URL": w.upstream.URL, "HTTP_ADDR": "127.0.0.1:0",
		"NATS_URL": strings.Join(urls, ","), "NATS_REPLICAS": strconv.Itoa(len(w.nodes)),
	}
	maps.Copy(env, s.env)
	list := make([]string, 0, len(env))
	for name, value := range env {
		list = append(list, name+"="+value)
	}
	w.env = list
	w.provision(list)
	w.connect(strings.Join(urls, ","))
	program := s.program
	if program == "" {
		program = programPlain
	}
	for i := range max(1, s.replicas) {
		r := &replica{name: fmt.Sprintf("replica %d", i+1), key: fmt.Sprintf("%s-%d", servicetest.Key, i+1), program: program}
		r.env = append(slices.Clone(list), "OPENROUTER_API_KEYS="+r.key, "NATS_URL="+w.forward(r))
		t.Cleanup(r.close)
		w.replicas = append(w.replicas, r)
	}
	t.Cleanup(w.tell)
	return w
}

// forward puts a forwarder between a replica and each server, and returns their
// URLs.
func (w *world) forward(r *replica) string {
	var urls []string
	for _, n := range w.nodes {
		f := servicetest.RunForwarder(w.t, strings.TrimPrefix(n.url, "nats://"))
		r.network = append(r.network, f)
		urls = append(urls, "nats://"+f.Address)
	}
	return strings.Join(urls, ",")
}

func (w *world) must(err error) {
	w.t.Helper()
	if err != nil {
		w.t.Fatal(err)
	}
}

// provision creates the streams as an operator does. A cluster needs a moment
// before it can.
func (w *world) provision(env []string) {
	w.t.Helper()
	var output journal
	w.until(2*startLimit, "gemini-client provision", func() (string, bool) {
		p, err := spawn(&output, env, program(programPlain), "provision")
		w.must(err)
		code := p.exit()
		return fmt.Sprint(code, output.find("")), code == 0
	})
}

func (w *world) connect(urls string) {
	w.t.Helper()
	nc, err := nats.Connect(urls, nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.Timeout(10*time.Second))
	w.must(err)
	w.t.Cleanup(nc.Close)
	js, err := jetstream.New(nc)
	w.must(err)
	w.backend = &servicetest.Backend{T: w.t, NC: nc, JS: js, Names: servicetest.Names(), Patience: patience}
}

// run starts every replica.
func (w *world) run() {
	w.t.Helper()
	for _, r := range w.replicas {
		w.must(r.start(w.t.Context()))
	}
}

// until polls until a condition holds. It fails the test with the state that was
// seen last.
func (w *world) until(limit time.Duration, what string, holds func() (seen string, ok bool)) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), limit)
	defer cancel()
	for {
		seen, ok := holds()
		if ok {
			return
		}
		if pause(ctx, 50*time.Millisecond) != nil {
			w.t.Fatalf("timed out waiting for: %s; last seen: %s", what, seen)
		}
	}
}

// called waits until a condition holds of the calls that have arrived. It fails the
// test with the counts that were seen last.
func (w *world) called(what string, holds func(simulator.Stats) bool) {
	w.t.Helper()
	ctx, cancel := context.WithTimeout(w.t.Context(), patience)
	defer cancel()
	if err := w.upstream.Wait(ctx, holds); err != nil {
		w.t.Fatalf("timed out waiting for: %s; last seen: %+v", what, w.upstream.Stats())
	}
}

// publish puts requests into the queue, spread over a time, each until
// JetStream has taken it. A try whose acknowledgement was lost leaves a
// duplicate, as it does for every backend.
func (w *world) publish(ctx context.Context, bodies [][]byte, over time.Duration) error {
	begin := time.Now()
	for i, body := range bodies {
		due := begin.Add(over * time.Duration(i) / time.Duration(len(bodies)))
		if wait := time.Until(due); wait > 0 {
			if err := pause(ctx, wait); err != nil {
				return err
			}
		}
		for !w.taken(ctx, body) {
			if err := pause(ctx, 100*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// taken reports whether JetStream has taken a request.
func (w *world) taken(ctx context.Context, body []byte) bool {
	one, cancel := context.WithTimeout(ctx, 2*time.Second)
	defer cancel()
	_, err := w.backend.JS.Publish(one, w.backend.Names.RequestQueue, body)
	if err == nil {
		w.published.add(body)
	}
	return err == nil
}

// results is the number of results that are stored now.
func (w *world) results() int {
	return int(w.backend.State(w.backend.Names.ResponsesStream()).Msgs)
}

// settled waits until so many results are stored and both queues are empty.
func (w *world) settled(limit time.Duration, results int) {
	w.t.Helper()
	end := time.Now().Add(limit)
	w.until(limit, fmt.Sprintf("%d results", results), func() (string, bool) {
		n := w.results()
		return fmt.Sprintf("%d results, %d calls", n, w.upstream.Count()), n >= results
	})
	for _, stream := range []string{w.backend.Names.RequestsStream(), w.backend.Names.RetriesStream()} {
		w.until(time.Until(end), stream+" is empty", func() (string, bool) {
			n := w.queued(stream)
			return fmt.Sprintf("%d messages", n), n == 0
		})
	}
}

// tell logs what is missing and what the replicas wrote, if the test failed. Lines at DEBUG
// are kept for what is missing.
func (w *world) tell() {
	if !w.t.Failed() {
		return
	}
	w.tellMissing()
	for _, r := range w.replicas {
		for _, line := range r.output.find("") {
			if !strings.Contains(line.text, "request completed") && !strings.Contains(line.text, "level=DEBUG") {
				w.t.Logf("%s: %s", r.name, line.text)
			}
		}
	}
}
