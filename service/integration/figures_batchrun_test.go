//go:build integration

package integration

import (
	"bufio"
	"bytes"
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
	"strconv"
	"syscall"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// TestBatchRunKilled: 10,000 prompts in a file, each fifth call refused with a 5xx, and kill
// -9 of the backend twice, of the worker and of NATS. The same command again goes on: each
// line has its one result, and nothing is paid twice but what was in flight in the worker.
func TestBatchRunKilled(t *testing.T) {
	t.Parallel()
	const lines, slots, lease = 10_000, 50, 10 * time.Second
	w := newWorld(t, shape{
		env:      map[string]string{"ACK_WAIT": lease.String(), "WORKER_CONCURRENCY": strconv.Itoa(slots), "QUEUE_RETRY_DELAYS": "1,1,1"},
		upstream: simulator.Config{ErrorRate: 0.2, Latency: 20 * time.Millisecond},
	})
	w.run()
	b := w.newBatchRun(lines)
	var why excuses
	for _, kill := range []struct {
		after int
		what  func()
	}{
		{lines / 5, func() { b.kill(); b.start() }},
		{lines * 2 / 5, func() {
			w.replicas[0].kill()
			w.must(w.replicas[0].start(t.Context()))
		}},
		{lines * 3 / 5, func() {
			w.restartNATS(&why, lease/2)
		}},
		{lines * 4 / 5, func() { b.kill(); b.start() }},
	} {
		w.until(5*time.Minute, fmt.Sprintf("%d results are written", kill.after), func() (string, bool) {
			n := len(b.results())
			return fmt.Sprint(n), n >= kill.after
		})
		kill.what()
	}
	b.end()
	results := b.results()
	w.leave()
	why.deaths = w.deaths()
	again := w.checkCalls(why)
	t.Logf("batch run of %d lines, a fifth of the calls refused, backend killed twice, worker and NATS once: %d results, %d calls, %d of them again for the worker's kill",
		lines, len(results), w.upstream.Count(), again)
	atMost(t, "calls made again, of those in the worker's slots when it was killed", again, slots)
	before, calls := b.bytes(), w.upstream.Count()
	b.start()
	b.end()
	if !bytes.Equal(before, b.bytes()) || w.upstream.Count() != calls {
		t.Errorf("the same command once more: %d bytes before, %d after, and %d calls more; want nothing to happen", len(before), len(b.bytes()), w.upstream.Count()-calls)
	}
	if len(results) != lines {
		t.Errorf("got results of %d lines, want %d", len(results), lines)
	}
	for id, r := range results {
		if r.Status != events.StatusSuccess {
			t.Errorf("%s: %s", id, *r.Error)
		}
	}
}

// restartNATS kills the one server. Where it was away for longer than it should be, on a
// busy machine, that is an excuse.
func (w *world) restartNATS(e *excuses, usual time.Duration) {
	w.t.Helper()
	away := span{from: time.Now()}
	w.nodes[0].end(syscall.SIGKILL)
	w.must(w.nodes[0].start())
	w.until(startLimit, "NATS is back", func() (string, bool) { return "", w.backend.NC.IsConnected() && w.backend.NC.Flush() == nil })
	if away.to = time.Now(); away.to.Sub(away.from) > usual {
		e.outages = append(e.outages, away)
	}
}

// batchRun is `gemini-client batch run` on a file.
type batchRun struct {
	w       *world
	env     []string
	in, out string
	output  journal
	current *process
}

// newBatchRun writes a file of prompts and starts the first run.
func (w *world) newBatchRun(lines int) *batchRun {
	w.t.Helper()
	b := &batchRun{w: w, in: filepath.Join(w.t.TempDir(), "prompts.txt"), out: filepath.Join(w.t.TempDir(), "results.jsonl")}
	b.env = []string{"NATS_URL=" + w.nodes[0].url}
	var prompts bytes.Buffer
	for i := range lines {
		fmt.Fprintf(&prompts, "Question %d, %s?\n", i, servicetest.NewID())
	}
	w.must(os.WriteFile(b.in, prompts.Bytes(), 0o600))
	w.t.Cleanup(func() { b.kill() })
	b.start()
	return b
}

func (b *batchRun) start() {
	b.w.t.Helper()
	var err error
	b.current, err = spawn(&b.output, b.env, program(programPlain), "batch", "run", "--prompt", b.in, "-o", b.out)
	b.w.must(err)
}

func (b *batchRun) kill() { b.current.kill() }

// end waits until everything is answered.
func (b *batchRun) end() {
	b.w.t.Helper()
	b.w.until(5*time.Minute, "batch run has ended", func() (string, bool) { return "", b.current.ended() })
	if code := b.current.exit(); code != 0 {
		b.w.t.Errorf("exit code %d, want 0: %v", code, b.output.find(""))
	}
}

func (b *batchRun) bytes() []byte {
	text, err := os.ReadFile(b.out)
	if err != nil && !os.IsNotExist(err) {
		b.w.t.Fatal(err)
	}
	return text
}

// results are those in the output, by id. A line whose writer was killed may lack its end.
func (b *batchRun) results() map[string]events.Result {
	b.w.t.Helper()
	all := map[string]events.Result{}
	lines := bufio.NewScanner(bytes.NewReader(b.bytes()))
	lines.Buffer(nil, 1<<20)
	for lines.Scan() {
		var r events.Result
		if err := json.Unmarshal(lines.Bytes(), &r); err != nil {
			continue
		}
		if _, twice := all[r.RequestID]; twice {
			b.w.t.Errorf("%s has two results in the output", r.RequestID)
		}
		all[r.RequestID] = r
	}
	b.w.must(lines.Err())
	return all
}
