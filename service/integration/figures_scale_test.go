//go:build integration

package integration

import (
	"context"
	"fmt"
	"slices"
	"syscall"
	"testing"
	"time"
)

// TestScaleAndRoll: three NATS servers with three copies of everything. Under load
// the service is scaled from one replica to six and to two, and then everything is
// restarted, one at a time: that costs no request and pays for none twice.
func TestScaleAndRoll(t *testing.T) {
	t.Parallel()
	const count, over = 4000, 50 * time.Second
	w := newWorld(t, shape{replicas: 6, nodes: 3, env: map[string]string{"ACK_WAIT": "30s", "WORKER_CONCURRENCY": "50"}})
	questions := askMany(count)
	begin := time.Now()
	w.must(w.replicas[0].start(t.Context()))
	published := make(chan error, 1)
	go func() { published <- w.publish(t.Context(), bodies(questions), over) }()
	w.callsOf(w.replicas[:1])
	for _, r := range w.replicas[1:] { // 1 to 6
		w.must(r.start(t.Context()))
	}
	w.callsOf(w.replicas)
	for _, r := range w.replicas[2:] { // 6 to 2
		w.leaves(r)
	}
	w.callsOf(w.replicas[:2])
	for _, n := range w.nodes {
		n.end(syscall.SIGTERM)
		w.must(n.start())
		w.healed()
	}
	for _, r := range w.replicas[:2] {
		w.leaves(r)
		w.must(r.start(t.Context()))
		w.callsOf([]*replica{r})
	}
	late := w.upstream.Count()
	w.must(<-published)
	w.settled(3*time.Minute, count)
	w.leave()
	results := w.checkStreams(questions)
	w.checkCalls(excuses{})
	t.Logf("%d requests over %s, three NATS servers with three copies; 1 to 6 to 2 replicas, then each server and each replica restarted (done after %d calls): %d results, %d calls; last result %s after the start",
		count, over, late, len(results), w.upstream.Count(), lastResult(results).Sub(begin).Round(time.Millisecond))
	atMost(t, "calls", w.upstream.Count(), count)
	if late >= count {
		t.Error("nothing was left to do when everything had been restarted")
	}
}

// callsOf waits until each of these replicas has begun 20 calls from now on.
func (w *world) callsOf(replicas []*replica) {
	w.t.Helper()
	before := w.upstream.Count()
	w.until(patience, "20 new calls of each replica", func() (string, bool) {
		byKey := map[string]int{}
		for _, c := range w.upstream.Calls()[before:] {
			byKey[c.Key]++
		}
		idle := slices.ContainsFunc(replicas, func(r *replica) bool { return byKey[r.key] < 20 })
		return fmt.Sprint(byKey), !idle
	})
}

// leaves stops a replica, which lets its calls finish.
func (w *world) leaves(r *replica) {
	w.t.Helper()
	w.until(startLimit, r.name+" answers requests", func() (string, bool) { return "", r.up() })
	if code := r.stop(); code != 0 {
		w.t.Errorf("%s: exit code %d after SIGTERM under load, want 0", r.name, code)
	}
}

// healed waits until every stream has all its copies again.
func (w *world) healed() {
	w.t.Helper()
	w.until(patience, "every stream has three copies", func() (string, bool) {
		ctx, cancel := context.WithTimeout(w.t.Context(), 5*time.Second)
		defer cancel()
		streams, lacking := 0, ""
		list := w.backend.JS.ListStreams(ctx)
		for info := range list.Info() {
			streams++
			if info.Cluster == nil || info.Cluster.Leader == "" || len(info.Cluster.Replicas) != len(w.nodes)-1 {
				lacking += " " + info.Config.Name
				continue
			}
			for _, peer := range info.Cluster.Replicas {
				if !peer.Current || peer.Offline {
					lacking += " " + info.Config.Name + " on " + peer.Name
				}
			}
		}
		return fmt.Sprintf("%d streams, lacking:%s; %v", streams, lacking, list.Err()), list.Err() == nil && streams > 0 && lacking == ""
	})
}
