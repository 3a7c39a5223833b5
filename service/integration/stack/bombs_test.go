//go:build integration

package stack

import (
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"github.com/moby/moby/api/types/container"
	"github.com/nats-io/nats.go"
	"github.com/testcontainers/testcontainers-go"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// TestBombs plays three bombs of each kind beside 200 innocents against a worker
// with a memory limit and no GOMEMLIMIT: it finds the limit by itself. The kernel
// does not kill it, and the innocents do not wait for the bombs.
func TestBombs(t *testing.T) {
	t.Parallel()
	const each, perBomb, limit = 3, 7, 1 << 30 // 210 innocents
	s := newStage(t)
	n := s.network()
	server := s.nats("nats", fmt.Sprintf(single, "nats")+"max_payload: 8MB\n", on(n, "nats"))
	up := s.upstream(simulator.Config{Latency: 200 * time.Millisecond, History: 10})
	w := s.worker("worker", up.serving(100, 30*time.Second), on(n, "worker"), testcontainers.WithHostConfigModifier(func(c *container.HostConfig) {
		c.Memory, c.MemorySwap = limit, limit
	}))
	if budget := fmt.Sprint("memory_budget=", limit/10*9/2); !strings.Contains(w.log(), budget) {
		t.Errorf("the worker does not know its limit: want %s in\n%s", budget, w.log())
	}
	b := s.backend(server.url)
	published := map[string]time.Time{}
	put := func(body []byte, header nats.Header) {
		_, err := b.JS.PublishMsg(b.Context(), &nats.Msg{Subject: b.Names.RequestQueue, Header: header, Data: body})
		s.must("publish", err)
	}
	bombs := servicetest.Bombs(8_000_000 - 64<<10)
	for i := range each * len(bombs) {
		bomb := bombs[i%len(bombs)]
		put(bomb.Body(servicetest.NewID()), bomb.Header)
		for range perBomb {
			id := servicetest.NewID()
			published[id] = time.Now()
			put(servicetest.Body(id, "innocent", nil), nil)
		}
	}
	all := each*len(bombs) + len(published)
	s.until("all results", func() (string, bool) {
		n := int(b.State(b.Names.ResponsesStream()).Msgs)
		return fmt.Sprint(n), n >= all
	})
	waits := make([]time.Duration, 0, len(published))
	results, err := b.JS.Stream(t.Context(), b.Names.ResponsesStream())
	s.must("results", err)
	for id, at := range published {
		m, err := results.GetLastMsgForSubject(t.Context(), events.Completed(b.Names.ResponseQueue, id))
		s.must("result of an innocent", err)
		waits = append(waits, m.Time.Sub(at))
	}
	slices.Sort(waits)
	p99 := waits[len(waits)*99/100]
	t.Logf("%d bombs beside %d innocents in %d MiB: innocents waited p50 %s, p99 %s", each*len(bombs), len(published), limit>>20, waits[len(waits)/2], p99)
	state, err := w.State(t.Context())
	s.must("state of the worker", err)
	if state.OOMKilled || !state.Running {
		t.Errorf("the worker was killed for want of memory: %+v", state)
	}
	if p99 > 5*time.Second {
		t.Errorf("innocents waited p99 %s, want at most 5 s", p99)
	}
	w.leave()
}
