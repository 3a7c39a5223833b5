package inprocess_test

import (
	"errors"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/events/client"
	"gemini-client/service/servicetest"
)

// The two tenants of deploy/nats/nats.conf that have accounts of their own.
const teamA, teamB = "team-a", "team-b"

// theirs is what team B was answered.
const theirs = "the answer of team B"

// teams is a stack in which both teams have their subjects, their consumers and a reader.
func teams(t *testing.T) *stack {
	t.Helper()
	s := runStack(t)
	requests := s.mustStream(s.Names.RequestsStream()).CachedInfo().Config
	for _, team := range []string{teamA, teamB} {
		for _, lane := range []events.Lane{events.LaneInteractive, events.LaneBatch} {
			subject := s.Names.Requests(team, lane)
			requests.Subjects = append(requests.Subjects, subject)
			s.consumer(s.Names.RequestsStream(), string(lane)+"_"+team, subject)
		}
		s.consumer(s.Names.ResponsesStream(), team, s.Names.Of(team).ResponseQueue+".*.*")
	}
	if _, err := s.JS.UpdateStream(s.Context(), requests); err != nil {
		t.Fatal(err)
	}
	return s
}

func (s *stack) consumer(stream, name, filter string) {
	s.t.Helper()
	c := jetstream.ConsumerConfig{Durable: name, FilterSubject: filter, AckPolicy: jetstream.AckExplicitPolicy}
	if _, err := s.JS.CreateConsumer(s.Context(), stream, c); err != nil {
		s.t.Fatal(err)
	}
}

// answer stores a result as the worker does.
func (s *stack) answer(worker *servicetest.Backend, callback, id, text string) {
	s.t.Helper()
	r := events.Request{ID: id}.Completed(text, time.Now())
	body, err := r.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := worker.JS.PublishMsg(s.Context(), &nats.Msg{Subject: r.Subject(callback), Data: body}); err != nil {
		s.t.Fatal(err)
	}
}

// A backend in an account of its own works unchanged, with the plain subjects and
// events/client: it submits, hears, reads and cancels as its tenant.
func TestBackendInAnAccountOfItsOwn(t *testing.T) {
	t.Parallel()
	s := teams(t)
	worker, team := asUser(t, s.nats, "worker"), asUser(t, s.nats, teamA)
	cancels, err := worker.NC.SubscribeSync("gemini.cancels.*.*")
	if err != nil {
		t.Fatal(err)
	}
	if err := worker.NC.Flush(); err != nil {
		t.Fatal(err)
	}
	c, err := client.New(team.NC, client.WithAPIPrefix("gemini.js"), client.WithLiveResults())
	if err != nil {
		t.Fatal(err)
	}
	h, err := c.Submit(s.Context(), events.Request{Prompt: "hello", Stream: true})
	if err != nil {
		t.Fatal(err)
	}
	s.message(s.Names.RequestsStream(), "gemini.requests.team-a")
	slow := &nats.Msg{Subject: s.Names.Requests(events.DefaultTenant, events.LaneBatch), Data: []byte("{}")}
	if _, err := team.JS.PublishMsg(s.Context(), slow); err != nil {
		t.Errorf("the slow lane: %v", err)
	}
	s.message(s.Names.RequestsStream(), "gemini.requests.team-a.batch")
	if err := h.Cancel(s.Context()); err != nil {
		t.Errorf("cancel: %v", err)
	}
	s.message(s.Names.CancelsStream(), "gemini.cancels.team-a."+h.ID())
	if m, err := cancels.NextMsg(servicetest.Patience); err != nil || m.Subject != "gemini.cancels.team-a."+h.ID() {
		t.Errorf("the worker hears %v, %v", m, err)
	}
	own := s.Names.Of(teamA)
	delta, err := events.Delta{RequestID: h.ID(), Run: "r", Attempt: 1, Content: "hel", Done: true}.Encode()
	if err := errors.Join(err, worker.NC.Publish(own.Deltas(h.ID()), delta)); err != nil {
		t.Fatal(err)
	}
	for d, err := range h.Deltas(s.Context()) {
		if err != nil || d.Content != "hel" {
			t.Errorf("delta: %+v, %v", d, err)
		}
		break
	}
	s.answer(worker, own.ResponseQueue, h.ID(), "hello")
	if r, err := h.Result(s.Context()); err != nil || *r.Content != "hello" {
		t.Errorf("result: %v", err)
	}
	again, err := c.Open(h.ID())
	if err != nil {
		t.Fatal(err)
	}
	if r, there, err := again.Stored(s.Context()); err != nil || !there || *r.Content != "hello" {
		t.Errorf("stored: %t, %v", there, err)
	}
	for r, err := range c.Results(s.Context(), teamA) {
		if err != nil || r.RequestID != h.ID() {
			t.Errorf("read durably: %+v, %v", r, err)
		}
		break
	}
}

// message wants a message with a subject in a stream.
func (s *stack) message(stream, subject string) {
	s.t.Helper()
	if _, err := s.mustStream(stream).GetLastMsgForSubject(s.Context(), subject); err != nil {
		s.t.Errorf("%s in %s: %v", subject, stream, err)
	}
}

// Neither another team nor the backends of the default tenant can read what an isolated
// tenant was answered: not live, not by a get of whatever subject, not as a reader.
func TestIsolatedResultsAreNotForOthers(t *testing.T) {
	t.Parallel()
	s := teams(t)
	worker := asUser(t, s.nats, "worker")
	for user, callback := range map[string]string{teamA: s.Names.Of(teamA).ResponseQueue, "backend": s.Names.ResponseQueue} {
		refusals := make(chan error, 100)
		spy := asUser(t, s.nats, user, nats.ErrorHandler(func(_ *nats.Conn, _ *nats.Subscription, err error) { refusals <- err }))
		heard := make(chan *nats.Msg, 100)
		for _, subject := range []string{"gemini.responses.>", "gemini.deltas.*", "gemini.deltas.>"} {
			if _, err := spy.NC.ChanSubscribe(subject, heard); err != nil {
				t.Fatal(err)
			}
		}
		if err := spy.NC.Flush(); err != nil {
			t.Fatal(err)
		}
		id, own := servicetest.NewID(), servicetest.NewID()
		s.answer(worker, s.Names.Of(teamB).ResponseQueue, id, theirs)
		if err := worker.NC.Publish(s.Names.Of(teamB).Deltas(id), []byte(theirs)); err != nil {
			t.Fatal(err)
		}
		s.answer(worker, callback, own, "own") // comes after those
		for over := false; !over; {
			select {
			case m := <-heard:
				if strings.Contains(string(m.Data), theirs) {
					t.Errorf("%s hears %s", user, m.Subject)
				}
				over = strings.Contains(string(m.Data), own)
			case <-s.Context().Done():
				t.Fatalf("%s does not hear its own result", user)
			}
		}
		for _, last := range []string{
			"team-b.completed." + id, "team-b.*." + id, "*." + id, "completed." + id, "*.*", "*.*.*", "*.>", ">", "team-b.>", "team-b.*", "team-b.*.*", "team-b.completed.>", "*.*." + id, "*.completed." + id, "=>gemini.results.team-b.>",
		} {
			subject := "gemini.js.DIRECT.GET.GEMINI_RESPONSES.gemini.responses." + last
			if rest, ok := strings.CutPrefix(last, "=>"); ok {
				subject = rest
			}
			replies, inbox := make(chan *nats.Msg, 1), spy.NC.NewInbox()
			if _, err := spy.NC.ChanSubscribe(inbox, replies); err != nil {
				t.Fatal(err)
			}
			if err := spy.NC.PublishRequest(subject, inbox, nil); err != nil {
				t.Fatal(err)
			}
			select {
			case m := <-replies:
				if strings.Contains(string(m.Data), theirs) {
					t.Errorf("%s reads %s with a get of %s", user, m.Header.Get(jetstream.SubjectHeader), last)
				}
			case <-refusals:
			case <-s.Context().Done():
				t.Errorf("%s: nobody answers a get of %s", user, last)
			}
		}
	}
}

// With a file of secrets from before the tenants the server starts, and nobody is a team:
// not with the hash in the configuration, nor without a password.
func TestTeamsNeedPasswords(t *testing.T) {
	t.Parallel()
	n := servicetest.RunOldStackNATS(t)
	for _, password := range []string{"", "$2a$11$nobody", teamA, "nobody"} {
		nc, err := nats.Connect(n.URL, nats.UserInfo(teamA, password))
		if !errors.Is(err, nats.ErrAuthorization) {
			t.Errorf("with %q: got %v", password, err)
		}
		if nc != nil {
			nc.Close()
		}
	}
	asUser(t, n, "backend")
}
