//go:build integration

package integration

import (
	"encoding/json"
	"fmt"
	"math"
	"os"
	"slices"
	"strconv"
	"strings"
	"sync"
	"syscall"
	"testing"
	"time"

	"gemini-client/service/openrouter/simulator"
)

// spender is the tenant whose budget is spent.
const spender = "acme"

// books are what `gemini-client usage` says of the budget of spender, in USD.
type books struct {
	Tenant   string  `json:"tenant"`
	Spent    float64 `json:"spent"`
	Reserved float64 `json:"reserved"`
}

// books reads them. They are false where they cannot be read now.
func (w *world) books() (b books, told bool) {
	text, code, err := w.try("usage", "--json")
	if err != nil || code != 0 {
		return b, false
	}
	for line := range strings.Lines(text) {
		var all []books
		if json.Unmarshal([]byte(line), &all) != nil {
			continue
		}
		for _, one := range all {
			if one.Tenant == spender {
				return one, true
			}
		}
	}
	return b, false
}

// micros are USD in millionths, in which budgets are counted.
func micros(usd float64) int64 { return int64(math.Round(usd * 1e6)) }

// auditor reads the books again and again.
type auditor struct {
	read, missed, over int
	most               float64 // spent and reserved
	samples            []string
}

// audit reads until stop. A reservation that there is no room for is in the total until it
// has gone back, a moment later: only what is still there at the next looks counts as over.
func (a *auditor) audit(w *world, limit float64, stop <-chan struct{}) {
	for inRow := 0; ; {
		select {
		case <-stop:
			return
		case <-w.t.Context().Done():
			return
		default:
		}
		b, told := w.books()
		if !told {
			a.missed++
		} else {
			a.read++
			if sum := b.Spent + b.Reserved; micros(sum) > micros(limit) {
				inRow++
				a.samples = append(a.samples, fmt.Sprintf("%s: spent %v, reserved %v", clock(time.Now()), b.Spent, b.Reserved))
			} else {
				a.most, inRow = max(a.most, sum), 0
			}
			a.over = max(a.over, inRow)
		}
		if inRow == 0 {
			_ = pause(w.t.Context(), 150*time.Millisecond)
		}
	}
}

// spendingRequests is how many requests are in hand whose price is half as much again as
// the budget. BUDGET_REQUESTS asks for more.
func spendingRequests(t *testing.T) int {
	t.Helper()
	text := os.Getenv("BUDGET_REQUESTS")
	if text == "" {
		return 3000
	}
	n, err := strconv.Atoi(text)
	if err != nil {
		t.Fatal(err)
	}
	return n
}

// TestBudgetOfAllReplicas: four replicas spend a budget that is two thirds of what the
// requests in hand cost, while each of them is killed with kill -9 and NATS is restarted
// once. OpenRouter bills no more than the budget, nearly all of it is spent by the books,
// and under a higher one every request that is left is answered.
func TestBudgetOfAllReplicas(t *testing.T) {
	t.Parallel()
	n := spendingRequests(t)
	limit := float64(n) / 3000
	w := newWorld(t, shape{replicas: 4, env: map[string]string{"ACK_WAIT": "10s", "WORKER_CONCURRENCY": "10"}, upstream: simulator.Config{
		Answer: func(simulator.Prompt) string { return strings.Repeat("money ", 200) }, // cut at max_output_tokens, so that a call costs nearly what is reserved for it
	}})
	w.command("tenants", "set", spender, "--budget", fmt.Sprintf("%v/month", limit), "--when-spent", "hold")
	all, plain := askTenants([]string{spender}, n, 500*time.Millisecond)
	for i := range all {
		all[i].more = map[string]any{"parameters": map[string]any{"max_output_tokens": 200}}
	}
	w.must(w.publishAs(all))
	w.run()
	var a auditor
	var auditing sync.WaitGroup
	stop := make(chan struct{})
	auditing.Go(func() { a.audit(w, limit, stop) })
	w.spendUnderKills(limit)
	spent := w.spent()
	close(stop)
	auditing.Wait()
	billed, hit := w.upstream.Cost(), w.cutCalls()
	t.Logf("budget %v, %d requests: billed %.6f in %d calls, %.6f spent by the books; %d kills hit %d calls; the books were read %d times (%d times not), spent and reserved at most %.6f",
		limit, n, billed, w.upstream.Count(), spent, len(w.deaths()), hit, a.read, a.missed, a.most)
	for _, s := range a.samples {
		t.Log("over for a moment:", s)
	}
	if billed > limit || spent > limit || micros(spent) < micros(billed) || spent < 0.97*limit {
		t.Errorf("billed %v, spent %v by the books, want at most %v, and 0.97 of it by the books", billed, spent, limit)
	}
	if a.read < 10 || a.over > 2 {
		t.Errorf("the books were read %d times; spent and reserved was over the budget %d times in a row: %v", a.read, a.over, a.samples)
	}
	if answered := w.results(); answered >= n*9/10 {
		t.Errorf("%d of %d requests are answered: the budget bounds nothing", answered, n)
	}
	w.command("tenants", "set", spender, "--budget", fmt.Sprintf("%v/month", 10*limit))
	w.settled(time.Minute+time.Duration(n)*20*time.Millisecond, n)
	w.leave()
	w.checkStreams(plain)
	again := w.checkCalls(excuses{deaths: w.deaths()})
	b, told := w.books()
	t.Logf("with more money: %d results, %d calls, %d of them again for a death; billed %.6f, %.6f spent and %v reserved by the books", w.results(), w.upstream.Count(), again, w.upstream.Cost(), b.Spent, b.Reserved)
	if !told || b.Reserved != 0 || micros(b.Spent) < micros(w.upstream.Cost()) {
		t.Errorf("books at the end: %+v (%t), billed %v", b, told, w.upstream.Cost())
	}
}

// spendUnderKills kills each replica once while it calls, and restarts NATS between, at
// shares of the budget that are billed.
func (w *world) spendUnderKills(limit float64) {
	w.t.Helper()
	billed := func(share float64) {
		w.called(fmt.Sprintf("%v of the budget is billed", share), func(s simulator.Stats) bool { return s.Cost >= share*limit })
	}
	for i, r := range w.replicas {
		if i == len(w.replicas)/2 {
			billed(0.6)
			w.nodes[0].end(syscall.SIGKILL)
			w.must(w.nodes[0].start())
		}
		billed(0.24 * float64(i+1))
		w.until(startLimit, r.name+" calls", func() (string, bool) {
			n := w.calling(r)
			return fmt.Sprint(n), n >= 3
		})
		r.kill()
		w.must(r.start(w.t.Context()))
	}
}

// calling is how many calls of a replica are in flight.
func (w *world) calling(r *replica) (n int) {
	for _, c := range w.upstream.Calls() {
		if c.Key == r.key && c.Outcome == "" {
			n++
		}
	}
	return n
}

// spent waits until the budget is used up and nothing is reserved, and returns what the
// books say then.
func (w *world) spent() (usd float64) {
	w.t.Helper()
	w.until(patience, "the budget is used up", func() (string, bool) {
		said := slices.ContainsFunc(w.replicas, func(r *replica) bool { return len(r.output.find("a budget is used up")) > 0 })
		b, told := w.books()
		usd = b.Spent
		return fmt.Sprintf("said: %t, %+v (%t), %+v", said, b, told, w.upstream.Stats()), said && told && b.Reserved == 0 && w.upstream.InFlight() == 0
	})
	return usd
}
