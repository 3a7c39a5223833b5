package inprocess_test

import (
	"errors"
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/servicetest"
)

// attack is something that a user must not be able to do. What NATS refuses
// outright is reported to the connection; the rest must have no effect.
type attack struct {
	name    string
	do      func(*attacker)
	allowed bool // NATS lets it through: it only must not do harm
}

// attacker is a user of nats.conf who means harm.
type attacker struct {
	*servicetest.Backend
	refusals chan error
}

func (a *attacker) publish(subject, reply string, header nats.Header, body string) {
	if err := a.NC.PublishMsg(&nats.Msg{Subject: subject, Reply: reply, Header: header, Data: []byte(body)}); err != nil {
		a.T.Errorf("publish %s: %v", subject, err)
	}
}

func publishing(subject, body string) func(*attacker) {
	return func(a *attacker) { a.publish(subject, "", nil, body) }
}

func subscribing(subject string) func(*attacker) {
	return func(a *attacker) {
		if _, err := a.NC.SubscribeSync(subject); err != nil {
			a.T.Errorf("subscribe %s: %v", subject, err)
		}
	}
}

// requesting publishes a request with a header that some stream would obey.
func requesting(name, value string) attack {
	return attack{"request with " + name, func(a *attacker) {
		a.publish(a.Names.RequestQueue, "", nats.Header{name: {value}, "Nats-Schedule-Target": {"gemini.requests"}}, "{}")
	}, true}
}

// answeredTo names a subject of the streams as the reply of what a user may
// ask. It ends when the server has answered what was asked after it.
func answeredTo(reply string, may, body string) attack {
	return attack{may + " answered to " + reply, func(a *attacker) {
		a.publish(may, reply, nil, body)
		if _, err := a.NC.RequestWithContext(a.Context(), may, []byte(body)); err != nil {
			a.T.Errorf("ask %s: %v", may, err)
		}
	}, true}
}

const (
	victim  = "11111111-1111-4111-8111-111111111111"
	waiting = "22222222-2222-4222-8222-222222222222"
	emptied = `{"batch":1,"no_wait":true}`
)

// harm is what neither a backend nor a worker may do.
func harm(api string) []attack {
	var list []attack
	for _, stream := range []string{"GEMINI_REQUESTS", "GEMINI_RETRIES", "GEMINI_RESPONSES", "GEMINI_CLAIMS", "GEMINI_DEADLETTERS", "GEMINI_CANCELS", "OBJ_GEMINI_BODIES"} {
		for _, verb := range []string{"STREAM.PURGE.", "STREAM.DELETE.", "STREAM.UPDATE.", "STREAM.MSG.DELETE.", "CONSUMER.CREATE.", "CONSUMER.DURABLE.CREATE.", "STREAM.SNAPSHOT."} {
			subject := api + verb + stream
			list = append(list, attack{subject, publishing(subject, `{"seq":1}`), false})
		}
	}
	for _, verb := range []string{"CONSUMER.DELETE.", "CONSUMER.PAUSE.", "CONSUMER.LEADER.STEPDOWN.", "CONSUMER.UNPIN."} {
		subject := api + verb + "GEMINI_REQUESTS.gemini-client"
		list = append(list, attack{subject, publishing(subject, ""), false})
	}
	for _, subject := range []string{"gemini.retries", api + "STREAM.CREATE.MINE", "$SYS.REQ.SERVER.PING", "$JS.API.STREAM.PURGE.GEMINI_REQUESTS", "$O.OTHER.C.x", "$O.GEMINI_BODIES.X.x"} {
		list = append(list, attack{"publish " + subject, publishing(subject, "{}"), false})
	}
	for _, subject := range []string{">", "gemini.>", "gemini.requests", "gemini.retries", "gemini.claims.>", "gemini.later.>", "gemini.deadletters.>", "_INBOX.>", "_INBOX_admin.>", "$JS.>", "$SYS.>"} {
		list = append(list, attack{"subscribe " + subject, subscribing(subject), false})
	}
	for _, reply := range replies() {
		list = append(list, answeredTo(reply, api+"DIRECT.GET.OBJ_GEMINI_BODIES", `{"last_by_subj":"$O.GEMINI_BODIES.C.x"}`),
			answeredTo(reply, api+"STREAM.MSG.GET.OBJ_GEMINI_BODIES", `{"last_by_subj":"$O.GEMINI_BODIES.C.x"}`), answeredTo(reply, "$O.GEMINI_BODIES.C.x", "x"))
	}
	return append(list, attack{"roll up the bodies", func(a *attacker) {
		a.publish("$O.GEMINI_BODIES.M.x", "", nats.Header{"Nats-Rollup": {"all"}}, "")
	}, true})
}

// replies are the subjects that a server's answer would do harm on, if it came
// there (see deploy/nats/nats.conf).
func replies() []string {
	return []string{
		"$JS.API.STREAM.DELETE.GEMINI_REQUESTS", "$JS.API.STREAM.PURGE.GEMINI_RESPONSES", "gemini.js.STREAM.PURGE.GEMINI_REQUESTS",
		"gemini.claims.gemini.responses." + victim, "gemini.later.gemini.responses." + victim, events.Completed("gemini.responses", victim),
		"gemini.deadletters.internal." + victim, "gemini.retries",
	}
}

// crossing acknowledges for another's consumer with a subject that, read as the
// second form, is one's own: $JS.ACK.<domain>.<account>.<stream>.<consumer>....
// "+NXT" there hands out the other's messages, whatever the numbers are.
func crossing(theirs, own string) []attack {
	subject := "$JS.ACK." + theirs + "." + own + ".1.2.3"
	return []attack{
		{"ask for more at " + subject, publishing(subject, "+NXT "+emptied), false},
		{"acknowledge at " + subject, publishing(subject, "+ACK"), false},
	}
}

func TestBackendCanDoNoHarm(t *testing.T) {
	t.Parallel()
	attacks := harm("gemini.js.")
	for _, subject := range []string{
		"gemini.claims.gemini.responses." + victim, "gemini.later.gemini.responses." + victim, events.Completed("gemini.responses", victim),
		"gemini.deadletters.internal." + victim, "gemini.deltas." + victim, "gemini.status", "$SRV.PING",
		"gemini.js.STREAM.MSG.GET.GEMINI_REQUESTS", "gemini.js.STREAM.MSG.GET.GEMINI_RESPONSES", "gemini.js.STREAM.MSG.GET.GEMINI_CLAIMS", "gemini.js.DIRECT.GET.GEMINI_RESPONSES",
		"gemini.js.DIRECT.GET.GEMINI_CLAIMS.gemini.claims.x", "gemini.js.DIRECT.GET.GEMINI_RETRIES.gemini.later.x",
		"gemini.js.CONSUMER.MSG.NEXT.GEMINI_REQUESTS.gemini-client", "gemini.js.CONSUMER.INFO.GEMINI_REQUESTS.gemini-client",
		fmt.Sprintf("$JS.ACK.GEMINI_REQUESTS.gemini-client.1.1.1.%d.0", time.Now().UnixNano()),
		fmt.Sprintf("$JS.ACK._.abcdefgh.GEMINI_REQUESTS.gemini-client.1.1.1.%d.0", time.Now().UnixNano()),
		"gemini.js.STREAM.INFO.GEMINI_RESPONSES",
	} {
		attacks = append(attacks, attack{"publish " + subject, publishing(subject, ""), false})
	}
	attacks = append(attacks, crossing("GEMINI_REQUESTS.gemini-client", "GEMINI_RESPONSES.backend")...)
	attacks = append(attacks, crossing("GEMINI_RETRIES.gemini-client", "GEMINI_RESPONSES.backend")...)
	attacks = append(attacks, attack{"subscribe to a worker's inbox", subscribing("_INBOX_worker.>"), false},
		requesting("Nats-Rollup", "all"), requesting("Nats-Rollup", "sub"), requesting("Nats-TTL", "1s"), requesting("Nats-Schedule", "@every 1s"),
		requesting("Nats-Expected-Last-Sequence", "0"), requesting("Nats-Schedule-Rollup", "sub"), requesting("Nats-Batch-Id", "1"), requesting("Nats-Marker-Reason", "Purge"))
	for _, reply := range replies() {
		attacks = append(attacks, answeredTo(reply, "gemini.requests", "{}"), answeredTo(reply, "gemini.js.CONSUMER.MSG.NEXT.GEMINI_RESPONSES.backend", emptied))
	}
	wantNoHarm(t, "backend", attacks)
}

func TestWorkerCanDoNoHarm(t *testing.T) {
	t.Parallel()
	attacks := harm("gemini.js.")
	attacks = append(attacks, crossing("GEMINI_RESPONSES.backend", "GEMINI_REQUESTS.gemini-client")...)
	attacks = append(attacks, attack{"publish a request", publishing("gemini.requests", "{}"), false},
		attack{"cancel", publishing("gemini.cancels."+victim, ""), false},
		attack{"declare a tenant", publishing("$KV.GEMINI_TENANTS.team-a", "{}"), false}, attack{"ask for a team", publishing("gemini.requests.team-a", "{}"), false},
		attack{"subscribe to a backend's inbox", subscribing("_INBOX_backend.>"), false})
	for _, subject := range []string{"gemini.responses.completed.x", "gemini.claims.gemini.responses.x", "gemini.deadletters.internal.x"} {
		attacks = append(attacks, attack{"roll up " + subject, func(a *attacker) {
			a.publish(subject, "", nats.Header{"Nats-Rollup": {"all"}}, "")
		}, true})
	}
	for _, reply := range replies() {
		attacks = append(attacks, answeredTo(reply, "gemini.js.CONSUMER.MSG.NEXT.GEMINI_RETRIES.gemini-client", emptied))
	}
	wantNoHarm(t, "worker", attacks)
}

// noHarm plays the attacks of a user against streams with something in
// them, and then lets a service answer what is there.
func noHarm(t *testing.T, s *stack, user string, attacks []attack) {
	t.Helper()
	s.fill()
	before := s.contents()
	for _, a := range attacks {
		refusals := make(chan error, 8)
		who := asUser(t, s.nats, user, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refusals <- err }))
		a.do(&attacker{who, refusals})
		if err := who.NC.FlushWithContext(who.Context()); err != nil {
			t.Fatal(err)
		}
		if !a.allowed {
			select {
			case err := <-refusals:
				if !errors.Is(err, nats.ErrPermissionViolation) {
					t.Errorf("%s: %s: %v, want a permissions violation", user, a.name, err)
				}
			case <-who.Context().Done():
				t.Errorf("%s may %s", user, a.name)
			}
		}
		who.NC.Close()
		if diff := cmp.Diff(before, s.contents()); diff != "" {
			t.Fatalf("%s: %s: the streams have changed:\n%s", user, a.name, diff)
		}
	}
	s.start()
	wantSubject(t, s.Result(victim), events.Completed("gemini.responses", victim))
}

// fill puts something into every stream.
func (s *stack) fill() {
	s.t.Helper()
	s.backend.Publish(servicetest.Body(victim, "hello", nil), nil)
	worker := asUser(s.t, s.nats, "worker")
	for subject, body := range map[string]string{
		"gemini.claims.gemini.responses." + waiting: "", events.Completed("gemini.responses", waiting): `{"request_id":"` + waiting + `"}`,
		"gemini.deadletters.internal." + waiting: "dead",
	} {
		if _, err := worker.JS.Publish(s.Context(), subject, []byte(body)); err != nil {
			s.t.Fatalf("%s: %v", subject, err)
		}
	}
	later := &nats.Msg{Subject: "gemini.later.gemini.responses." + waiting, Data: servicetest.Body(waiting, "later", nil)}
	if _, err := worker.JS.PublishMsg(s.Context(), later, jetstream.WithScheduleAt(time.Now().Add(time.Hour)), jetstream.WithScheduleTarget("gemini.retries")); err != nil {
		s.t.Fatal(err)
	}
}

// contents is what the streams hold and how their consumers stand. More
// requests are no harm, nor is what the reader has been asked; and the bodies are no
// more than an object store, in which whoever may put may also erase.
func (s *stack) contents() map[string][]string {
	s.t.Helper()
	all := map[string][]string{}
	for _, want := range bus.NewTopology(s.config, s.NC.MaxPayload()).Streams {
		if want.Name == s.Names.BodiesStream() {
			continue
		}
		stream := s.mustStream(want.Name)
		info := stream.CachedInfo()
		have := []string{fmt.Sprintf("%v first %d", info.Config.Subjects, info.State.FirstSeq)}
		last := info.State.LastSeq
		if want.Name == s.Names.RequestsStream() {
			last = min(last, 1)
		}
		for sequence := info.State.FirstSeq; sequence > 0 && sequence <= last; sequence++ {
			m, err := stream.GetMsg(s.Context(), sequence)
			if errors.Is(err, jetstream.ErrMsgNotFound) {
				continue
			}
			if err != nil {
				s.t.Fatal(err)
			}
			have = append(have, fmt.Sprintf("%d %s %s", sequence, m.Subject, m.Data))
		}
		names := stream.ConsumerNames(s.Context())
		var consumers []string
		for name := range names.Name() {
			c, err := stream.Consumer(s.Context(), name)
			if err != nil {
				s.t.Fatal(err)
			}
			i := c.CachedInfo()
			if name == "backend" {
				i.Delivered, i.AckFloor = jetstream.SequenceInfo{}, jetstream.SequenceInfo{}
			}
			consumers = append(consumers, fmt.Sprintf("consumer %s delivered %d acknowledged %d paused %v", name, i.Delivered.Stream, i.AckFloor.Stream, i.Paused))
		}
		slices.Sort(consumers)
		all[want.Name] = append(have, consumers...)
	}
	return all
}

// The control of the tests above, and the reason for three accounts: where
// subjects of the streams are all that a user is kept from, whoever may pull
// can delete any stream. If this fails, nats-server checks reply subjects, and
// deploy/nats/nats.conf may become simpler.
func TestPermissionsAloneAreNotEnough(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t, func(o *server.Options) {
		o.Users = []*server.User{
			{Username: "admin", Password: "admin"},
			{Username: "worker", Password: "worker", Permissions: &server.Permissions{
				Publish:   &server.SubjectPermission{Allow: []string{"$JS.API.CONSUMER.MSG.NEXT.EMPTY.c"}},
				Subscribe: &server.SubjectPermission{Allow: []string{"_INBOX_worker.>"}},
			}},
		}
	})
	n.As = servicetest.User("admin")
	admin := servicetest.NewBackend(t, n)
	for _, name := range []string{"EMPTY", "PRECIOUS"} {
		if _, err := admin.JS.CreateStream(t.Context(), jetstream.StreamConfig{Name: name, Subjects: []string{name}}); err != nil {
			t.Fatal(err)
		}
	}
	if _, err := admin.JS.CreateConsumer(t.Context(), "EMPTY", jetstream.ConsumerConfig{Durable: "c", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	worker := asUser(t, n, "worker")
	if err := worker.NC.PublishRequest("$JS.API.CONSUMER.MSG.NEXT.EMPTY.c", "$JS.API.STREAM.DELETE.PRECIOUS", []byte(emptied)); err != nil {
		t.Fatal(err)
	}
	admin.Until("the stream is deleted", func() (string, bool) {
		_, err := admin.JS.Stream(t.Context(), "PRECIOUS")
		return fmt.Sprint(err), errors.Is(err, jetstream.ErrStreamNotFound)
	})
}
