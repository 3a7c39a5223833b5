//go:build integration

package integration

import (
	"context"
	"fmt"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/servicetest"
)

// The goal: a hundred bombs of a kind at once, beside neighbours who are all
// answered, within this resident memory. GOMEMLIMIT is that of docker-compose.yml.
const (
	bombs, innocents = 100, 200
	bombSize         = 8<<20 - 64<<10
	bombMemory       = 1 << 30
	bombMemLimit     = "1800MiB"
)

// TestBombs plays requests that are small on the wire and large in memory, and
// upstream answers of the same sort, a hundred at once: all kinds of either between
// each other, or with BOMBS=each a hundred of one kind after the other, which takes
// minutes. What is seen is the peak of the service's resident memory, and how long
// neighbours wait.
func TestBombs(t *testing.T) { //nolint:paralleltest // it needs the machine for itself
	upstream := newBombUpstream(t)
	w := newWorld(t, shape{maxPayload: 8 << 20, env: map[string]string{
		"OPENROUTER_BASE_URL": upstream.url, "GOMEMLIMIT": bombMemLimit, "WORKER_CONCURRENCY": "100",
		"QUEUE_MAX_RETRIES": "0", "KEYS_COOLDOWN_SECONDS": "1", "REQUESTS_MAX_BYTES": "2GiB",
	}})
	w.run()
	w.until(startLimit, "the service is up", func() (string, bool) { return "", w.replicas[0].up() })
	requests, answers := servicetest.Bombs(bombSize), answerRequests()
	if os.Getenv("BOMBS") == "each" {
		for _, kind := range slices.Concat(requests, answers) {
			t.Run(kind.Name, func(t *testing.T) { w.explode(t, kind.Name, []servicetest.Bomb{kind}) })
		}
	} else {
		t.Run("requests", func(t *testing.T) { w.explode(t, "requests", requests) })
		t.Run("answers", func(t *testing.T) { w.explode(t, "answers", answers) })
	}
	w.leave()
}

// explode publishes bombs of these kinds among innocents, and checks that every one has its
// result, and what that took.
func (w *world) explode(t *testing.T, name string, kinds []servicetest.Bomb) {
	t.Helper()
	within := *w
	within.t = t
	w = &within
	pid := strconv.Itoa(w.replicas[0].process().cmd.Process.Pid)
	if err := os.WriteFile("/proc/"+pid+"/clear_refs", []byte("5"), 0o600); err != nil { // the peak begins again
		t.Fatal(err)
	}
	published := w.publishAmong(t, kinds)
	w.until(4*time.Minute, "all results", func() (string, bool) {
		n := w.results()
		return fmt.Sprint(n), n >= bombs+innocents
	})
	waits := w.waits(t, published)
	peak := peakMemory(t, pid)
	t.Logf("%d of %q beside %d: peak %d MiB; innocents waited p50 %s, p99 %s, at most %s", bombs, name, innocents, peak>>20,
		waits[len(waits)/2].Round(time.Millisecond), waits[len(waits)*99/100].Round(time.Millisecond), waits[len(waits)-1].Round(time.Millisecond))
	atMost(t, "bytes of resident memory", peak, bombMemory)
	for _, stream := range []string{w.backend.Names.ResponsesStream(), w.backend.Names.DeadlettersStream()} {
		s, err := w.backend.JS.Stream(t.Context(), stream)
		if err == nil {
			err = s.Purge(t.Context())
		}
		if err != nil {
			t.Fatal(err)
		}
	}
}

// publishAmong publishes two innocents after each bomb, and returns when each of
// the innocents was stored.
func (w *world) publishAmong(t *testing.T, kinds []servicetest.Bomb) map[string]time.Time {
	t.Helper()
	var mu sync.Mutex
	published := map[string]time.Time{}
	var publishers sync.WaitGroup
	next := make(chan servicetest.Bomb)
	for range 4 {
		publishers.Go(func() {
			for bomb := range next {
				w.put(t, bomb.Body(servicetest.NewID()), bomb.Header)
				for range innocents / bombs {
					id := servicetest.NewID()
					mu.Lock()
					published[id] = time.Now()
					mu.Unlock()
					w.put(t, servicetest.Body(id, "innocent", nil), nil)
				}
			}
		})
	}
	for i := range bombs {
		next <- kinds[i%len(kinds)]
	}
	close(next)
	publishers.Wait()
	return published
}

func (w *world) put(t *testing.T, body []byte, header nats.Header) {
	t.Helper()
	ctx, cancel := context.WithTimeout(t.Context(), startLimit)
	defer cancel()
	if _, err := w.backend.JS.PublishMsg(ctx, &nats.Msg{Subject: w.backend.Names.RequestQueue, Header: header, Data: body}); err != nil {
		t.Errorf("publish: %v", err)
	}
}

// waits returns how long each innocent waited for its result, in order. It fails
// the test for each that was not completed.
func (w *world) waits(t *testing.T, published map[string]time.Time) []time.Duration {
	t.Helper()
	s, err := w.backend.JS.Stream(t.Context(), w.backend.Names.ResponsesStream())
	if err != nil {
		t.Fatal(err)
	}
	waits := []time.Duration{0}
	for id, at := range published {
		m, err := s.GetLastMsgForSubject(t.Context(), events.Completed(w.backend.Names.ResponseQueue, id))
		if err != nil {
			t.Errorf("innocent %s: %v", id, err)
			continue
		}
		waits = append(waits, m.Time.Sub(at))
	}
	slices.Sort(waits)
	return waits
}

// peakMemory reads the peak of a process's resident memory, in bytes.
func peakMemory(t *testing.T, pid string) int {
	t.Helper()
	status, err := os.ReadFile("/proc/" + pid + "/status")
	if err != nil {
		t.Fatal(err)
	}
	for line := range strings.Lines(string(status)) {
		if fields := strings.Fields(line); len(fields) == 3 && fields[0] == "VmHWM:" {
			kib, err := strconv.Atoi(fields[1])
			if err != nil {
				t.Fatal(err)
			}
			return kib << 10
		}
	}
	t.Fatal("there is no VmHWM")
	return 0
}
