//go:build integration

package integration

import (
	"bytes"
	"context"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/events/client"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// TestBackendKilled: a backend with the Go library submits 1,000 requests and waits for
// their results; kill -9 of the backend between the two, of the worker, and of NATS. Opened
// by its id, each request has its one result, and nothing is paid twice but what was in
// flight in the worker.
func TestBackendKilled(t *testing.T) {
	t.Parallel()
	const requests, slots, lease = 1_000, 50, 10 * time.Second
	w := newWorld(t, shape{
		env:      map[string]string{"ACK_WAIT": lease.String(), "WORKER_CONCURRENCY": strconv.Itoa(slots), "QUEUE_RETRY_DELAYS": "1,1,1"},
		upstream: simulator.Config{Latency: 200 * time.Millisecond},
	})
	w.run()
	b := w.newLibraryBackend(requests)
	var why excuses
	for _, kill := range []struct {
		after int
		what  func()
	}{
		{requests / 4, func() {
			b.current.kill()
			if open := len(b.told("sent")) - len(b.told("result")); open == 0 {
				t.Error("the backend was killed with nothing between Submit and Result")
			}
			b.start()
		}},
		{requests / 2, func() {
			w.replicas[0].kill()
			w.must(w.replicas[0].start(t.Context()))
		}},
		{requests * 3 / 4, func() { w.restartNATS(&why, lease/2) }},
	} {
		w.until(2*time.Minute, fmt.Sprintf("%d results have come", kill.after), func() (string, bool) {
			n := len(b.told("result"))
			return fmt.Sprint(n), n >= kill.after
		})
		kill.what()
	}
	w.until(2*time.Minute, "the backend has all results", func() (string, bool) { return fmt.Sprint(len(b.told("result"))), b.current.ended() })
	if code := b.current.exit(); code != 0 {
		t.Errorf("the backend ended with exit code %d: %v", code, b.output.find("failed"))
	}
	w.leave()
	why.deaths = w.deaths()
	again := w.checkCalls(why)
	t.Logf("%d requests of a backend with the library, killed once, as the worker and NATS: %d submitted by the first, %d results, %d calls, %d of them again for the worker's kill",
		requests, b.before, len(b.told("result")), w.upstream.Count(), again)
	atMost(t, "calls made again, of those in the worker's slots when it was killed", again, slots)
	if n := len(b.told("result")); n != requests {
		t.Errorf("got results of %d requests, want %d", n, requests)
	}
}

// libraryBackend is this test binary as a backend.
type libraryBackend struct {
	w       *world
	ids     []string
	output  journal
	current *process
	before  int // requests that had been sent when the last one started
}

func (w *world) newLibraryBackend(requests int) *libraryBackend {
	w.t.Helper()
	b := &libraryBackend{w: w}
	for range requests {
		b.ids = append(b.ids, servicetest.NewID())
	}
	w.t.Cleanup(func() { b.current.kill() })
	b.start()
	return b
}

// start starts the backend, which is told what it has sent before.
func (b *libraryBackend) start() {
	b.w.t.Helper()
	sent := b.told("sent")
	b.before = len(sent)
	var list bytes.Buffer
	for _, id := range b.ids {
		fmt.Fprintln(&list, id, sent[id])
	}
	file := filepath.Join(b.w.t.TempDir(), "requests")
	b.w.must(os.WriteFile(file, list.Bytes(), 0o600))
	var err error
	b.current, err = spawn(&b.output, []string{envBackend + "=" + file, "NATS_URL=" + b.w.nodes[0].url}, os.Args[0])
	b.w.must(err)
}

// told are the ids that the backends have said this of.
func (b *libraryBackend) told(what string) map[string]bool {
	ids := map[string]bool{}
	for _, line := range b.output.find(what + " ") {
		ids[strings.TrimPrefix(line.text, what+" ")] = true
	}
	return ids
}

// serveBackend submits what the file says has not been sent, opens the rest, and waits for
// all results.
func serveBackend(file string) int {
	nc, err := nats.Connect(os.Getenv("NATS_URL"), nats.MaxReconnects(-1), nats.ReconnectWait(50*time.Millisecond), nats.Timeout(10*time.Second))
	if err != nil {
		return complain(err)
	}
	defer nc.Close()
	c, err := client.New(nc)
	if err != nil {
		return complain(err)
	}
	text, err := os.ReadFile(file)
	if err != nil {
		return complain(err)
	}
	var all sync.WaitGroup
	var failed sync.Once
	code := 0
	for line := range strings.Lines(string(text)) {
		id, sent, _ := strings.Cut(strings.TrimSpace(line), " ")
		all.Go(func() {
			if err := follow(c, id, sent == "true"); err != nil {
				failed.Do(func() { code = complain(fmt.Errorf("failed %s: %w", id, err)) })
			}
		})
	}
	all.Wait()
	return code
}

// follow waits for the result of a request, which it submits first unless that was done.
func follow(c *client.Client, id string, sent bool) error {
	ctx := context.Background()
	h, err := c.Open(id)
	if !sent && err == nil {
		if h, err = c.Submit(ctx, events.Request{ID: id, Prompt: "Question " + id + "?"}); err == nil {
			_, _ = fmt.Fprintln(os.Stdout, "sent", id)
		}
	}
	if err != nil {
		return err
	}
	defer h.Close()
	if _, err := h.Result(ctx); err != nil {
		return err
	}
	_, _ = fmt.Fprintln(os.Stdout, "result", id)
	return nil
}
