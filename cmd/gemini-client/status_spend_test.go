package main

import (
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/servicetest"
)

// stores puts n results into the stream, as workers have.
func (b *bench) stores(tb testing.TB, n int, body string) {
	tb.Helper()
	header := events.ResultHeader(events.Result{RequestID: servicetest.NewID(), Status: events.StatusSuccess, Key: "cdef"}, "", "/gemini-client", time.Now())
	delete(header, events.HeaderMsgID)
	for i := range n {
		m := &nats.Msg{Subject: events.Completed(b.Names.ResponseQueue, servicetest.NewID()), Header: header, Data: []byte(body)}
		if _, err := b.JS.PublishMsgAsync(m); err != nil {
			tb.Fatal(err)
		}
		if i%1000 != 999 && i != n-1 {
			continue
		}
		select {
		case <-b.JS.PublishAsyncComplete():
		case <-b.Context().Done():
			tb.Fatal("the results are not stored")
		}
	}
}

// Status says what the last hour and day cost.
func TestStatusOfSpending(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.expect([]string{"status"}, "spent        0 USD (requests: 0) in the last hour, 0 USD (requests: 0) in the last day\n")
	b.work()
	cost := amount(b.Result(b.Ask("Why?", nil)).Result.Cost)
	b.Result(b.Ask("refused [sim:context_length]", nil))
	if o := b.status(); o.Spent == nil || o.Spent.Hour == nil || *o.Spent.Hour != *o.Spent.Day || o.Spent.Day.Requests != 2 || o.Spent.Day.Failures != 1 || amount(&o.Spent.Day.Cost) != cost {
		t.Errorf("got %+v, want a cost of %s", o.Spent, cost)
	}
	b.expect([]string{"status"}, "spent        "+cost+" USD (requests: 2, failed: 1, of unknown cost: 1) in the last hour")
}

// Status does not read more than it can at once: it says so instead.
func TestStatusOfMuchSpending(t *testing.T) {
	t.Parallel()
	b := setup(t)
	a, err := openAdminClient(b.Context(), &source{file: b.file}, streams{out: io.Discard, err: io.Discard})
	if err != nil {
		t.Fatal(err)
	}
	defer a.close()
	const n, size = 5, 1 << 10
	b.stores(t, n, `{"status":"success","cost":1,"content":"`+strings.Repeat("x", size)+`"}`)
	for name, c := range map[string]struct {
		most  spentBounds
		later time.Duration // it is asked
		hour  float64
		day   float64
		too   bool
	}{
		"as many as are read": {spentBounds{n, 1 << 20}, 0, n, n, false},
		"one more":            {spentBounds{n - 1, 1 << 20}, 0, 0, 0, true},
		"bytes":               {spentBounds{n, n * size}, 0, 0, 0, true},
		"not of this hour":    {spentBounds{n, 1 << 20}, 2 * time.Hour, 0, n, false},
		"a day of too many":   {spentBounds{n - 1, 1 << 20}, 2 * time.Hour, 0, -1, false},
		"not of this day":     {spentBounds{n - 1, 1 << 20}, 25 * time.Hour, 0, 0, false},
	} {
		s, err := a.spent(b.Context(), time.Now().Add(c.later), c.most)
		switch {
		case err != nil:
			t.Errorf("%s: %v", name, err)
		case c.too != (s.Hour == nil), s.Hour != nil && s.Hour.Cost != c.hour, (s.Day == nil) != (c.too || c.day < 0), s.Day != nil && s.Day.Cost != c.day:
			t.Errorf("%s: hour %+v, day %+v", name, s.Hour, s.Day)
		}
	}
}

func TestSpentText(t *testing.T) {
	t.Parallel()
	hour := &sums{Requests: 1234, Cost: 0.5}
	for want, s := range map[string]spentState{
		"0.5 USD (requests: 1,234) in the last hour; too many results in the last day to sum them here: `gemini-client usage --since 24h`": {Hour: hour},
		"0.5 USD (requests: 1,234) in the last hour, 0.5 USD (requests: 1,234) in the last day":                                            {Hour: hour, Day: hour},
	} {
		if got := s.String(); got != want {
			t.Errorf("got %q, want %q", got, want)
		}
	}
}

// With --watch the results are not read again each time.
func TestStatusWatchReadsResultsNowAndThen(t *testing.T) {
	t.Parallel()
	kept := &spentState{at: time.Now()}
	a := &adminClient{spentBefore: kept} // without a connection
	o := &overview{Time: kept.at.Add(spentAgain - 1)}
	if err := a.readSpent(t.Context(), o); err != nil || o.Spent != kept {
		t.Errorf("got %+v, %v", o.Spent, err)
	}
}

// The admin of deploy/nats may sum, and others are told that they may not.
func TestSpendingWithLeastPrivilege(t *testing.T) {
	t.Parallel()
	n := servicetest.RunStackNATS(t)
	admin := newProgram(t, map[string]any{"NATS_URL": n.URL, "NATS_USER": "admin", "NATS_PASSWORD": "admin", "NATS_INBOX_PREFIX": "_INBOX_admin"})
	if code, out, errs := admin.invoke("", "provision"); code != 0 {
		t.Fatal(out, errs)
	}
	if code, out, errs := admin.invoke("", "usage", "--since", "24h", "--by", "tenant", "--csv"); code != 0 || !strings.HasPrefix(out, "tenant,requests,") || errs != "" {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	if code, out, errs := admin.invoke("", "status"); code != 0 || !strings.Contains(out, "spent        0 USD") {
		t.Errorf("exit code %d: %s%s", code, out, errs)
	}
	backend := newProgram(t, map[string]any{"NATS_URL": n.URL, "NATS_USER": "backend", "NATS_PASSWORD": "backend", "NATS_INBOX_PREFIX": "_INBOX_backend", "NATS_JS_API_PREFIX": "gemini.js"})
	if code, out, errs := backend.invoke("", "usage", "--since", "24h"); code != 2 || !strings.Contains(errs, "GEMINI_RESPONSES") || out != "" {
		t.Errorf("a backend: exit code %d: %s%s", code, out, errs)
	}
}

// BenchmarkSpending sums 20,000 results of 2 KiB.
func BenchmarkSpending(b *testing.B) {
	const stored = 20_000
	n := servicetest.RunNATS(b)
	from, std := &source{file: filepath.Join(b.TempDir(), "settings.yaml")}, streams{out: io.Discard, err: io.Discard}
	if err := os.WriteFile(from.file, fmt.Appendf(nil, `{"nats_url":%q}`, n.URL), 0o600); err != nil {
		b.Fatal(err)
	}
	a, err := openAdminClient(b.Context(), from, std)
	if err != nil {
		b.Fatal(err)
	}
	defer a.close()
	if err := provision(b.Context(), a.config, provisioning{}, std); err != nil {
		b.Fatal(err)
	}
	of := &bench{Backend: servicetest.NewBackend(b, n)}
	of.stores(b, stored, `{"status":"success","model_used":"google/gemini-2.5-flash","usage":{"prompt_tokens":9,"completion_tokens":9,"cached_tokens":0},"cost":0.0001,"attempts":1,"content":"`+strings.Repeat("x", 2<<10)+`"}`)
	for b.Loop() {
		now := time.Now()
		if s, err := a.spending(b.Context(), now.Add(-time.Hour), now, "key"); err != nil || s.Total.Requests != stored {
			b.Fatal(s, err)
		}
	}
	b.ReportMetric(float64(stored*b.N)/b.Elapsed().Seconds(), "results/s")
}
