package bus

import (
	"fmt"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/tenant"
)

// unsettled are the numbers of the lanes, by queue.
func unsettled(b *backlog) map[string]int64 {
	all := map[string]int64{}
	for _, m := range b.numbers(time.Now()).Messages {
		if m.State == stateUnsettled {
			all[m.Queue] = m.Count
		}
	}
	return all
}

// The lanes of tenants are read with one question for all, and with none while no tenant is
// declared.
func TestBacklogOfLanes(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	tel := quiet(t)
	conn := b.connect()
	log := newBacklog(conn, b.Names, tel.Logger, tel.Instruments.DeadLettersEvicted)
	questions := func() uint64 { return conn.Stats().OutMsgs }
	before := questions()
	if log.readLanes(b.Context()); questions() != before || len(unsettled(log)) != 0 {
		t.Errorf("no tenant is declared: %d questions, %v", questions()-before, unsettled(log))
	}
	if _, err := b.declarations().Set(b.Context(), "acme", weight(2)); err != nil {
		t.Fatal(err)
	}
	for range 2 {
		if err := b.publishes("acme", events.LaneBatch); err != nil {
			t.Fatal(err)
		}
	}
	log.tenants.Replace([]tenant.Tenant{tenant.Undeclared("acme"), tenant.Undeclared("default")})
	log.readLanes(b.Context())
	if got := fmt.Sprint(unsettled(log)); got != "map[gemini.requests.acme:0 gemini.requests.acme.batch:2 gemini.requests.default.batch:0]" || questions() != before+1 {
		t.Errorf("%d questions, %s", questions()-before, got)
	}
	log.tenants.Replace(nil)
	if log.readLanes(b.Context()); len(unsettled(log)) != 0 {
		t.Errorf("no tenant is declared any more: %v", unsettled(log))
	}
}

// However many tenants there are, the numbers are bounded, and nothing is left out.
func TestBacklogOfManyTenants(t *testing.T) {
	t.Parallel()
	b := newBacklog(nil, events.DefaultNames(), nil, nil)
	stored := map[string]uint64{"gemini.requests.default.batch": 3}
	var all []tenant.Tenant
	for i := range 500 {
		name := fmt.Sprintf("t%03d", i)
		all = append(all, tenant.Undeclared(name))
		stored["gemini.requests."+name] = 1
		stored["gemini.requests."+name+".batch"] = 2
	}
	b.tenants.Replace(all)
	numbers := b.lanes(stored)
	if len(numbers) != 202 || numbers["gemini.requests.default.batch"] != 3 || numbers["gemini.requests.t099.batch"] != 2 || numbers["other"] != 1200 {
		t.Errorf("%d numbers: %v", len(numbers), numbers)
	}
}
