//go:build integration

package integration

import (
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"syscall"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// command runs the program with settings of an admin, and returns what it wrote.
func (w *world) command(args ...string) string {
	w.t.Helper()
	text, code, err := w.try(args...)
	w.must(err)
	if code != 0 {
		w.t.Fatalf("gemini-client %s: exit code %d\n%s", strings.Join(args, " "), code, text)
	}
	return text
}

// try runs the program as command does, and may fail.
func (w *world) try(args ...string) (text string, code int, err error) {
	var output journal
	p, err := spawn(&output, w.env, program(programPlain), args...)
	if err != nil {
		return "", 0, err
	}
	code = p.exit()
	var all strings.Builder
	for _, line := range output.find("") {
		all.WriteString(line.text + "\n")
	}
	return all.String(), code, nil
}

// tenantQuestion is a request of a tenant.
type tenantQuestion struct {
	question
	tenant string
	more   map[string]any // further fields
}

func (q tenantQuestion) body() []byte { return servicetest.Body(q.id, q.prompt, q.more) }

// publishAs publishes requests of tenants, each until JetStream has taken it.
func (w *world) publishAs(all []tenantQuestion) error {
	for _, q := range all {
		body := q.body()
		for {
			_, err := w.backend.JS.Publish(w.t.Context(), w.backend.Names.Requests(q.tenant, events.LaneInteractive), body)
			if err == nil {
				w.published.add(body)
				break
			}
			if err := pause(w.t.Context(), 100*time.Millisecond); err != nil {
				return err
			}
		}
	}
	return nil
}

// askTenants makes n questions of tenants in turn whose answers take so long.
func askTenants(tenants []string, n int, latency time.Duration) (all []tenantQuestion, plain []question) {
	for i := range n {
		q := ask(i, latency)
		q.prompt += " tenant=" + tenants[i%len(tenants)]
		all, plain = append(all, tenantQuestion{question: q, tenant: tenants[i%len(tenants)]}), append(plain, q)
	}
	return all, plain
}

// busiest returns the most calls that any sliding minute has.
func busiest(calls []simulator.Call) (most int) {
	slices.SortFunc(calls, func(a, b simulator.Call) int { return a.At.Compare(b.At) })
	from := 0
	for to := range calls {
		for calls[to].At.Sub(calls[from].At) >= time.Minute {
			from++
		}
		most = max(most, to-from+1)
	}
	return most
}

// TestLimitsOfAllReplicas: four replicas keep the limits of five tenants, 600 calls a minute
// in all, while each replica is killed and NATS is restarted once. TENANT_REQUESTS asks for
// more than what passes in ninety seconds.
func TestLimitsOfAllReplicas(t *testing.T) {
	t.Parallel()
	const perTenant, most = 120, 606
	n := 900
	if text := os.Getenv("TENANT_REQUESTS"); text != "" {
		var err error
		if n, err = strconv.Atoi(text); err != nil {
			t.Fatal(err)
		}
	}
	w := newWorld(t, shape{replicas: 4, env: map[string]string{"ACK_WAIT": "10s", "WORKER_CONCURRENCY": "50"}})
	tenants := []string{"a", "b", "c", "d", "e"}
	for _, name := range tenants {
		w.command("tenants", "set", name, "--requests-per-minute", strconv.Itoa(perTenant))
	}
	all, plain := askTenants(tenants, n, 200*time.Millisecond)
	w.must(w.publishAs(all))
	w.run()
	for _, r := range w.replicas {
		w.must(pause(t.Context(), 8*time.Second))
		r.kill()
		w.must(r.start(t.Context()))
	}
	w.nodes[0].end(syscall.SIGTERM)
	w.must(w.nodes[0].start())
	w.settled(time.Duration(n)*time.Minute/500+time.Minute, n)
	w.leave()
	w.checkStreams(plain)
	calls := w.upstream.Calls()
	t.Logf("%d requests, %d calls in %s; the busiest minute has %d", n, len(calls), calls[len(calls)-1].At.Sub(calls[0].At).Round(time.Second), busiest(calls))
	atMost(t, "calls in the busiest minute", busiest(calls), most)
	for _, name := range tenants {
		its := slices.DeleteFunc(slices.Clone(calls), func(c simulator.Call) bool { return !strings.HasSuffix(c.Prompt, "tenant="+name) })
		atMost(t, fmt.Sprintf("calls of tenant %s in its busiest minute", name), busiest(its), perTenant*101/100)
	}
}

// TestFloodOfOneTenant: while one tenant has a backlog in front of all slots of two
// replicas, requests of nineteen others are called for before it has gone on by more than
// the slots that end meanwhile.
func TestFloodOfOneTenant(t *testing.T) {
	t.Parallel()
	const flood, others = 2000, 19
	w := newWorld(t, shape{replicas: 2, env: map[string]string{"WORKER_CONCURRENCY": "20"}})
	w.command("tenants", "set", "flood")
	var names []string
	for i := range others {
		names = append(names, fmt.Sprintf("t%d", i))
		w.command("tenants", "set", names[i])
	}
	flooding, plain := askTenants([]string{"flood"}, flood, 100*time.Millisecond)
	w.must(w.publishAs(flooding))
	w.run()
	w.called("the flood is under way", func(s simulator.Stats) bool { return s.Started >= 200 })
	lone, more := askTenants(names, 3*others, 100*time.Millisecond)
	w.must(w.publishAs(lone))
	w.settled(2*time.Minute, flood+3*others)
	w.leave()
	w.checkStreams(append(plain, more...))
	calls := w.upstream.Calls()
	slices.SortFunc(calls, func(a, b simulator.Call) int { return a.At.Compare(b.At) })
	last := slices.IndexFunc(calls, func(c simulator.Call) bool { return strings.HasSuffix(c.Prompt, fmt.Sprintf("tenant=t%d", others-1)) })
	t.Logf("the last of %d tenants was called for as number %d of %d calls", others, last+1, len(calls))
	if backlog := len(calls) - last; backlog < flood/3 {
		t.Errorf("the others waited for the flood: %d calls were left of it", backlog)
	}
}
