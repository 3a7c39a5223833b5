package bus

import (
	"encoding/json"

	"github.com/google/uuid"

	"gemini-client/events"
	"gemini-client/service/config"
)

// Role is what a NATS user is to the service: each has rights of its own.
type Role string

// The roles of deploy/nats/nats.conf.
const (
	RoleWorker  Role = "worker"
	RoleAdmin   Role = "admin"
	RoleBackend Role = "backend"
)

// Right is one thing that a role has to be allowed.
type Right struct {
	Subject   string // as it is granted, with wildcards
	Subscribe bool   // else publish
	For       string
	Spare     bool // the role goes on without it

	probe   string // one subject of Subject
	body    []byte // of the question
	store   bool   // JetStream would store it: expect a stream that is none
	unheard bool   // somebody may listen: the server refuses it to everybody
	stream  string // must be there for an answer
}

// String is the right as a person grants it.
func (r Right) String() string {
	if r.Subscribe {
		return "subscribe " + r.Subject
	}
	return "publish " + r.Subject
}

// spare marks rights without which the role goes on.
func spare(rights ...Right) []Right {
	for i := range rights {
		rights[i].Spare = true
	}
	return rights
}

// Rights are those that a role needs with these settings.
func Rights(role Role, c config.Config) []Right {
	t := rightsTable{names: c.Names(), api: c.API, id: uuid.NewString()}
	switch role {
	case RoleAdmin:
		return t.admin()
	case RoleBackend:
		return t.backend(c.ResponseQueue)
	case RoleWorker:
	}
	return t.worker(c)
}

// rightsTable makes rights of the names in force.
type rightsTable struct {
	names events.Names
	api   func(question string) string
	id    string // of no request
}

// asks is a question to JetStream's API about a stream. at is what is asked, as it is
// granted.
func (t rightsTable) asks(stream, at, why string, body any) Right {
	r := Right{Subject: t.api(at), probe: t.api(at), For: why, stream: stream}
	if body != nil {
		r.body, _ = json.Marshal(body) // of a map of strings and numbers
	}
	return r
}

func (t rightsTable) info(stream, why string) Right {
	return t.asks(stream, streamInfo(stream), why, nil)
}

// noMessage asks for the last message of a subject that no message has.
func (t rightsTable) noMessage() map[string]any {
	return map[string]any{"last_by_subj": subjectOf("none")}
}

func (t rightsTable) message(stream, why string) Right {
	return t.asks(stream, nextMessage(stream), why, t.noMessage())
}

func (t rightsTable) direct(stream, why string) Right {
	return t.asks(stream, "DIRECT.GET."+stream, why, t.noMessage())
}

// directOf is a direct get of one subject of a filter.
func (t rightsTable) directOf(stream, filter, subject, why string) Right {
	r := t.asks(stream, "DIRECT.GET."+stream+"."+filter, why, nil)
	r.probe = t.api("DIRECT.GET." + stream + "." + subject)
	return r
}

// consumer are the rights to a durable consumer: to look at it, to pull from it with a
// question that is none, and to acknowledge what it has never delivered.
func (t rightsTable) consumer(stream, name, why string) []Right {
	ack := "$JS.ACK." + stream + "." + name + "."
	return []Right{
		t.asks(stream, "CONSUMER.INFO."+stream+"."+name, "a look at the consumer of "+why, nil),
		t.asks(stream, "CONSUMER.MSG.NEXT."+stream+"."+name, "taking "+why, map[string]any{"batch": "none"}),
		{Subject: ack + ">", probe: ack + "1.4611686018427387904.4611686018427387904.0.0", body: []byte("+WPI"), For: "acknowledging " + why, stream: stream},
	}
}

// stores is a publish to a stream where nobody listens.
func stores(stream, filter, subject, why string) Right {
	return Right{Subject: filter, probe: subject, For: why, store: true, stream: stream}
}

// says is a publish to where somebody may listen.
func says(filter, subject, why string) Right {
	return Right{Subject: filter, probe: subject, For: why, unheard: true}
}

func hears(subject, why string) Right { return Right{Subject: subject, Subscribe: true, For: why} }

func (t rightsTable) worker(c config.Config) []Right {
	n, id := t.names, t.id
	requests, retries, responses, claims := n.RequestsStream(), n.RetriesStream(), n.ResponsesStream(), n.ClaimsStream()
	later, claim, completed := n.Later(c.ResponseQueue, id), n.Claim(c.ResponseQueue, id), events.Completed(c.ResponseQueue, id)
	plain, isolated := n.Cancels()
	all := append(t.consumer(requests, Durable, "requests"), t.consumer(retries, Durable, "retries")...)
	all = append(all,
		t.info(requests, "the start, and the number of waiting requests"), t.info(retries, "the start"), t.info(responses, "the start, and how full the results are"),
		t.info(claims, "the start"), t.info(n.DeadlettersStream(), "the start, and the number of dead letters"), t.info(n.CancelsStream(), "the start"),
		t.message(responses, "what was answered, as the stream's leader has it"), t.message(claims, "who calls for what, as the stream's leader has it"),
		t.message(retries, "schedules, as the stream's leader has them"), t.message(n.CancelsStream(), "what was cancelled"),
		t.direct(responses, "what was answered, of many requests at once"),
		t.directOf(responses, n.ResponsesAll(), completed, "whether a request has been answered"),
		t.directOf(claims, n.ClaimsAll(), claim, "whether another worker calls for a request"),
		t.directOf(retries, n.LaterAll(), later, "whether a request waits for a retry"),
		says(n.ResponsesAll(), completed, "results"), stores(claims, n.ClaimsAll(), claim, "claims: one worker calls for a request, and no other"),
		stores(retries, n.LaterAll(), later, "retries"), stores(n.DeadlettersStream(), n.DeadlettersAll(), n.Deadletter(events.Internal, id), "dead letters"),
		hears(plain, "cancellations of requests in flight"),
	)
	return append(all, t.workerSpare(c, isolated)...)
}

// workerSpare are the rights of a worker without which it does less.
func (t rightsTable) workerSpare(c config.Config, cancels string) []Right {
	n, id := t.names, t.id
	requests, limits, budgets, batch, objects := n.RequestsStream(), n.LimitsStream(), n.BudgetsStream(), n.BatchStream(), n.BodiesStream()
	slow := consumerName(events.DefaultTenant, events.LaneBatch)
	rights := append(t.consumer(requests, slow, "requests of the slow lane"),
		t.message(requests, "the age of the oldest request, a metric"),
		says(n.Deltas("*"), n.Deltas(id), "answers while they are written"),
		hears(cancels, "cancellations of isolated tenants"), hears(n.Tenant("*"), "changes of what is declared of tenants"),
		hears(n.Status(), "gemini-client status sees this worker"), hears(discovery+">", "nats micro finds this worker"),
		t.direct(n.TenantsStream(), "what is declared of tenants"), t.direct(objects, "bodies too large for a message"),
		stores(objects, "$O."+n.BodiesBucket()+".C.*", "$O."+n.BodiesBucket()+".C."+id, "bodies too large for a message"),
		stores(objects, "$O."+n.BodiesBucket()+".M.*", "$O."+n.BodiesBucket()+".M."+id, "bodies too large for a message"),
	)
	if c.BatchMaxWait > 0 {
		rights = append(rights, t.info(batch, "batches"), t.message(batch, "batches"), stores(batch, n.BatchAll(), n.BatchRecord("doctor", id), "batches"))
	}
	if c.CountsLimits() {
		rights = append(rights, t.info(limits, "limits of all replicas"), stores(limits, n.LimitsAll(), n.Limit("doctor", "none", "calls"), "limits of all replicas"))
	}
	rights = spare(rights...)
	if c.FleetBudget != "" { // without its counters no call is made
		rights = append(rights, t.info(budgets, "BUDGET"), t.direct(budgets, "BUDGET"), stores(budgets, n.BudgetsAll(), n.BudgetTotal("doctor", "none"), "BUDGET"))
	}
	return rights
}
