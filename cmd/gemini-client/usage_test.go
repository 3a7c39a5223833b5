package main

import (
	"encoding/json"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/service/budget"
)

// TestUsage: what is spent and reserved of each budget, and by whom, dead or alive.
func TestUsage(t *testing.T) {
	t.Parallel()
	b := setup(t)
	if code, out, errs := b.invoke("", "usage"); code != 0 || !strings.Contains(out, "nothing is counted") {
		t.Errorf("before anything: code %d, %q, %q", code, out, errs)
	}
	b.set("BUDGET", "5/day,100/month")
	b.work()
	b.Result(b.Ask("Why?", nil))
	day := "day-" + time.Now().UTC().Format(time.DateOnly)
	names := b.Names
	b.add(names.BudgetHeld(budget.Fleet, day, "gone-0"), 2500)
	b.add(names.BudgetTotal(budget.Fleet, day), 2500)
	bucket, err := b.JS.KeyValue(t.Context(), names.TenantsBucket())
	if err != nil {
		t.Fatal(err)
	}
	for name, declared := range map[string]string{"acme": `{"weight":1,"budget":{"week":7}}`, "free": `{"weight":2}`} {
		if _, err := bucket.PutString(t.Context(), name, declared); err != nil {
			t.Fatal(err)
		}
	}
	code, out, errs := b.invoke("", "usage")
	if code != 0 {
		t.Fatalf("code %d, %q", code, errs)
	}
	lines := strings.Split(strings.TrimSpace(out), "\n")
	if len(lines) != 4 || !strings.HasPrefix(lines[1], "acme") || !strings.Contains(lines[1], "7       0") {
		t.Errorf("it says:\n%s", out)
	}
	for _, want := range []string{"TENANT", "(all)   " + day + "  5 ", "0.0025", "1 gone (0.0025)", "month-"} {
		if !strings.Contains(out, want) {
			t.Errorf("it lacks %q:\n%s", want, out)
		}
	}
	_, out, _ = b.invoke("", "usage", "--json")
	var all []usageLine
	if err := json.Unmarshal([]byte(out), &all); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	for _, l := range all {
		if l.Tenant == "" && l.Period == day && (*l.Budget != 5 || l.Spent <= 0 || l.Reserved != 0.0025 || len(l.Held) != 1 || l.Held[0] != (heldBy{"gone", 0.0025, false})) {
			t.Errorf("got %+v", l)
		}
	}
	b.set("BUDGET", "")
	if _, out, _ := b.invoke("", "usage"); !strings.Contains(out, "?") {
		t.Errorf("a budget that is not known here is not shown as such:\n%s", out)
	}
}

// add adds to a counter.
func (b *bench) add(counter string, by int64) {
	b.t.Helper()
	m := &nats.Msg{Subject: counter, Header: nats.Header{"Nats-Incr": {"+" + json.Number(amount(new(float64(by)))).String()}}}
	if _, err := b.JS.PublishMsg(b.t.Context(), m); err != nil {
		b.t.Fatal(err)
	}
}

// TestHolders: a live worker is told from one that is gone.
func TestHolders(t *testing.T) {
	t.Parallel()
	held := []heldBy{{"a", 1, true}, {"b", 0.5, false}, {"c", 2, true}, {"d", 0.25, false}}
	if got := holders(held); got != "2 live, 2 gone (0.75)" {
		t.Errorf("got %q", got)
	}
	if holders(nil) != "" {
		t.Error("nobody holds something")
	}
}
