package bus

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/config"
)

// TestTotals: one question finds every counter that its filter matches, and no other.
func TestTotals(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	one := b.open()
	add := func(counter string, by int64) {
		t.Helper()
		if _, err := one.Add(b.Context(), counter, by, ""); err != nil {
			t.Fatal(err)
		}
	}
	names := one.names
	filter := names.BudgetCounters("acme", "day-2026-11-28")
	totals := func() (all []string) {
		t.Helper()
		err := one.Totals(b.Context(), filter, func(counter string, total int64, sequence uint64) {
			all = append(all, fmt.Sprint(strings.TrimPrefix(counter, strings.TrimSuffix(filter, ">")), " ", total, " ", sequence))
		})
		if err != nil {
			t.Fatal(err)
		}
		return all
	}
	if got := totals(); got != nil {
		t.Errorf("none is there: %v", got)
	}
	add(names.BudgetTotal("acme", "day-2026-11-28"), 40)
	add(names.BudgetHeld("acme", "day-2026-11-28", "a-0"), 30)
	add(names.BudgetTotal("acme", "day-2026-11-28"), -7)
	add(names.BudgetTotal("acme", "day-2026-11-29"), 1)
	add(names.BudgetTotal("other", "day-2026-11-28"), 1)
	if got, want := fmt.Sprint(totals()), "[held.a-0 30 2 total 33 3]"; got != want {
		t.Errorf("got %s, want %s", got, want)
	}
	for i := range 1000 {
		add(names.BudgetHeld("acme", "day-2026-11-28", fmt.Sprint(i)), 1)
	}
	if got := totals(); len(got) != 1002 {
		t.Errorf("%d of 1002 were found", len(got))
	}
	if err := b.connect().Totals(b.Context(), "NONE", filter, func(string, int64, uint64) {}); err == nil {
		t.Error("a stream that is not there has counters")
	}
}

// TestBudgetsReady: the stream is made where that is allowed, and what cannot count
// right is not used.
func TestBudgetsReady(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	name := b.config.Names().BudgetsStream()
	if err := b.JS.DeleteStream(b.Context(), name); err != nil {
		t.Fatal(err)
	}
	b.config.Provision = false
	if err := b.open().BudgetsReady(b.Context()); !errors.Is(err, ErrTopology) || !strings.Contains(err.Error(), "gemini-client provision") {
		t.Errorf("missing, and not to be made: %v", err)
	}
	b.config.Provision = true
	makes := b.open()
	if err := makes.BudgetsReady(b.Context()); err != nil {
		t.Errorf("missing: %v", err)
	}
	change(b, name, func(c *jetstream.StreamConfig) { c.Duplicates = time.Minute })
	if err := makes.BudgetsReady(b.Context()); !errors.Is(err, ErrTopology) {
		t.Errorf("it forgets too soon: %v", err)
	}
	_ = b.JS.DeleteStream(b.Context(), name)
	if _, err := b.JS.CreateStream(b.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{"gemini.budgets.>"}}); err != nil {
		t.Fatal(err)
	}
	if err := makes.BudgetsReady(b.Context()); !errors.Is(err, ErrTopology) || !strings.Contains(err.Error(), "allow_msg_counter") {
		t.Errorf("it does not count: %v", err)
	}
}

// TestLapses: a heartbeat that was not renewed in time was gone, for as long as anyone
// may have seen.
func TestLapses(t *testing.T) {
	t.Parallel()
	h := newHeartbeat(nil, "one", 3*time.Second)
	want := func(what string, lapses int, alive bool) {
		t.Helper()
		if n, is := h.life(); n != lapses || is != alive {
			t.Errorf("%s: %d lapses, alive %v; want %d, %v", what, n, is, lapses, alive)
		}
	}
	want("before the first", 0, false)
	h.stored(time.Now().Add(-2*time.Second), 0)
	want("after the first", 0, true)
	h.stored(time.Now().Add(-time.Second), 1)
	want("another connection", 0, true)
	h.renewed = time.Now().Add(-3 * time.Second)
	want("not renewed in time", 0, false)
	h.stored(time.Now(), 1)
	want("renewed too late", 1, true)
}

// TestTheDead: a process whose heartbeat is there lives, and one that has withdrawn it
// does not.
func TestTheDead(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.AckWait = 3 * time.Second })
	b.provision()
	one, other := b.open(), b.open()
	dead := func(want bool) {
		t.Helper()
		if got, err := one.IsDead(b.Context(), other.Instance()); err != nil || got != want {
			t.Errorf("dead: %v, %v; want %v", got, err, want)
		}
	}
	for _, of := range []*Bus{one, other} {
		if err := of.heartbeat.start(b.Context()); err != nil {
			t.Fatal(err)
		}
	}
	dead(false)
	if _, alive := other.Life(); !alive {
		t.Error("a process does not know that it lives")
	}
	other.heartbeat.stop(b.Context())
	dead(true)
}

// TestWhatCannotBeCounted: an error after which nothing was counted, and none that passes
// by itself.
func TestWhatCannotBeCounted(t *testing.T) {
	t.Parallel()
	for err, want := range map[error]bool{
		nats.ErrNoResponders: true, ErrTopology: true, ErrDenied: true, &jetstream.APIError{Code: 400}: true,
		&jetstream.APIError{Code: 503}: false, ErrNoAnswer: false, errors.New("other"): false,
	} {
		if got := Uncounted(err); got != want {
			t.Errorf("%v: %v", err, got)
		}
	}
}
