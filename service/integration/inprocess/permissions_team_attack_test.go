package inprocess_test

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
)

// wantNoHarm is noHarm on a stack of its own.
func wantNoHarm(t *testing.T, user string, attacks []attack) {
	t.Helper()
	noHarm(t, runStack(t), user, attacks)
}

// A team in an account of its own can do the others no harm: it asks for itself whatever
// it says, cancels, acknowledges and takes nothing of theirs, and writes neither the
// declared tenants nor what is counted of them.
func TestTeamCanDoNoHarm(t *testing.T) {
	t.Parallel()
	var attacks []attack
	for _, subject := range []string{
		"gemini.requests.team-b", "gemini.requests.team-b.batch", "gemini.requests.team-a", "gemini.requests.default", "gemini.retries",
		"gemini.cancels.team-b." + victim, "gemini.cancels.team-a." + victim, "gemini.deltas." + victim, "gemini.deltas.team-b." + victim,
		events.Completed("gemini.responses", victim), events.Completed("gemini.responses.team-b", victim), "gemini.claims.gemini.responses.team-b." + victim,
		"gemini.later.gemini.responses.team-b." + victim, "$KV.GEMINI_TENANTS.team-a", "$KV.GEMINI_TENANTS.team-b", "gemini.limits.x.1", "gemini.budgets.team-a.day.total",
		"gemini.js.STREAM.INFO.GEMINI_RESPONSES", "gemini.js.STREAM.INFO.KV_GEMINI_TENANTS", "gemini.js.DIRECT.GET.KV_GEMINI_TENANTS", "gemini.js.DIRECT.GET.KV_GEMINI_TENANTS.$KV.GEMINI_TENANTS.team-b",
		"gemini.js.DIRECT.GET.GEMINI_RESPONSES", "gemini.js.STREAM.MSG.GET.GEMINI_RESPONSES", "gemini.js.STREAM.MSG.GET.GEMINI_REQUESTS",
		"gemini.js.CONSUMER.MSG.NEXT.GEMINI_RESPONSES.team-b", "gemini.js.CONSUMER.MSG.NEXT.GEMINI_RESPONSES.backend", "gemini.js.CONSUMER.INFO.GEMINI_RESPONSES.team-b",
		"gemini.js.CONSUMER.MSG.NEXT.GEMINI_REQUESTS.interactive_team-a", "gemini.js.CONSUMER.MSG.NEXT.GEMINI_REQUESTS.interactive_team-b", "gemini.js.CONSUMER.MSG.NEXT.GEMINI_REQUESTS.gemini-client",
		"gemini.js.DIRECT.GET.OBJ_GEMINI_BODIES", "gemini.js.STREAM.MSG.GET.OBJ_GEMINI_BODIES", "$O.GEMINI_BODIES.C.x", "$O.GEMINI_BODIES.M.x",
		fmt.Sprintf("$JS.ACK.GEMINI_RESPONSES.team-b.1.1.1.%d.0", time.Now().UnixNano()), fmt.Sprintf("$JS.ACK._.abcdefgh.GEMINI_RESPONSES.team-b.1.1.1.%d.0", time.Now().UnixNano()),
		fmt.Sprintf("$JS.ACK.GEMINI_REQUESTS.interactive_team-a.1.1.1.%d.0", time.Now().UnixNano()),
	} {
		attacks = append(attacks, attack{"publish " + subject, publishing(subject, emptied), false})
	}
	for _, subject := range []string{">", "gemini.>", "gemini.requests", "gemini.cancels.>", "$KV.>", "_INBOX.>", "_INBOX_team-b.>", "_INBOX_worker.>", "$JS.>"} {
		attacks = append(attacks, attack{"subscribe " + subject, subscribing(subject), false})
	}
	for _, other := range []string{"GEMINI_RESPONSES.team-b", "GEMINI_RESPONSES.backend", "GEMINI_REQUESTS.gemini-client", "GEMINI_REQUESTS.interactive_team-b"} {
		attacks = append(attacks, crossing(other, "GEMINI_RESPONSES.team-a")...)
	}
	for _, reply := range append(replies(), "gemini.requests.team-b", "gemini.cancels.team-b."+victim, "$KV.GEMINI_TENANTS.team-a", "gemini.budgets.team-b.day.total") {
		attacks = append(attacks, answeredTo(reply, "gemini.requests", "{}"), answeredTo(reply, "gemini.js.CONSUMER.MSG.NEXT.GEMINI_RESPONSES.team-a", emptied))
	}
	attacks = append(attacks, attack{"ask in another's name", func(a *attacker) {
		a.publish("gemini.requests", "", nats.Header{events.HeaderTenant: {teamB}, "gemini-tenant": {teamB}}, "{}")
	}, true})
	s := teams(t)
	noHarm(t, s, teamA, attacks)
	if m, err := s.mustStream(s.Names.RequestsStream()).GetLastMsgForSubject(s.Context(), "gemini.requests.team-a"); err != nil || m.Header.Get(events.HeaderTenant) != teamB {
		t.Errorf("the last attack did not come where it should: %v, %v", m, err)
	}
}
