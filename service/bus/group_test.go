package bus

import (
	"errors"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

func storedTogether(c *config.Config) { c.GroupCommit = true }

// outcome is what a publish was told.
type outcome struct {
	sequence uint64
	err      error
}

// round publishes messages together and waits for all of them.
func (b *bench) round(p *publisher, messages ...*nats.Msg) []outcome {
	b.t.Helper()
	type told struct {
		i int
		outcome
	}
	all := make(chan told, len(messages)+1)
	var round []posted
	for i, m := range messages {
		round = append(round, posted{m: m, done: func(sequence uint64, err error) { all <- told{i, outcome{sequence, err}} }})
	}
	p.post(round...)
	outcomes := make([]outcome, len(messages))
	for range messages {
		select {
		case one := <-all:
			outcomes[one.i] = one.outcome
		case <-b.Context().Done():
			b.t.Fatal("somebody was not told")
		}
	}
	return outcomes
}

// resultOf is a result that has to be the first one of its request.
func (b *bench) resultOf(id string) *nats.Msg {
	b.t.Helper()
	body, err := completed(id).Result.Encode()
	if err != nil {
		b.t.Fatal(err)
	}
	m := &nats.Msg{Subject: events.Completed(b.Names.ResponseQueue, id), Header: nats.Header{}, Data: body}
	expectLastOf(events.AnyResult(b.Names.ResponseQueue, id), 0)(m.Header)
	return m
}

// batches returns how many messages of a stream were stored in each batch, and how many alone.
func (b *bench) batches(stream string) (sizes map[string]int, alone int) {
	b.t.Helper()
	sizes = map[string]int{}
	for _, m := range b.Stored(stream) {
		if id := m.Header.Get(batchID); id != "" {
			sizes[id]++
		} else {
			alone++
		}
	}
	return sizes, alone
}

// Messages that wait at the same time are stored together, and each is told its own sequence.
func TestRoundsAreStoredTogether(t *testing.T) {
	t.Parallel()
	b := setup(t, storedTogether)
	s := b.streams()
	var claims []*nats.Msg
	for range 2*groupMost + groupLeast - 1 {
		claims = append(claims, b.claimOf(servicetest.NewID(), expectLast(0), withTTL(time.Hour)))
	}
	for i, got := range b.round(s.publisher, claims...) {
		if want := uint64(i + 1); got.err != nil || got.sequence != want {
			t.Fatalf("claim %d: got %+v", i, got)
		}
	}
	for i, m := range b.Stored(b.Names.ClaimsStream()) {
		if string(m.Body) != string(claims[i].Data) {
			t.Fatalf("message %d is %s, want %s", i+1, m.Body, claims[i].Data)
		}
	}
	if sizes, alone := b.batches(b.Names.ClaimsStream()); len(sizes) != 2 || alone != groupLeast-1 {
		t.Errorf("batches %v, and %d messages alone", sizes, alone)
	}
}

// One message that cannot be stored keeps no other from it.
func TestRefusedRoundIsStoredSingly(t *testing.T) {
	t.Parallel()
	b := setup(t, storedTogether)
	s := b.streams()
	taken := servicetest.NewID()
	if got := b.round(s.publisher, b.claimOf(taken, expectLast(0))); got[0].err != nil {
		t.Fatal(got[0].err)
	}
	var claims []*nats.Msg
	wants := map[int]error{3: errConflict, 7: ErrRefused, 11: ErrRefused}
	for range 2 * groupLeast {
		claims = append(claims, b.claimOf(servicetest.NewID(), expectLast(0)))
	}
	claims[3] = b.claimOf(taken, expectLast(0))
	claims[7] = b.claimOf(servicetest.NewID(), expectLast(0), header(jetstream.MsgTTLHeader, "soon"))
	claims[11] = b.claimOf(servicetest.NewID(), expectLast(0), header("no spaces", "x")) // the client does not send it
	for i, got := range b.round(s.publisher, claims...) {
		if !errors.Is(got.err, wants[i]) || (got.err == nil) != (got.sequence > 0) {
			t.Errorf("claim %d: got %+v, want %v", i, got, wants[i])
		}
	}
	if sizes, alone := b.batches(b.Names.ClaimsStream()); len(sizes) != 0 || alone != 2*groupLeast-2 {
		t.Errorf("batches %v, and %d messages alone", sizes, alone)
	}
}

// Two results of one request are never in one batch, where the server would store both.
func TestOneResultOfManyPublishedTogether(t *testing.T) {
	t.Parallel()
	b := setup(t, storedTogether)
	s := b.streams()
	ids := make([]string, 2*groupLeast)
	for i := range ids {
		ids[i] = servicetest.NewID()
	}
	var results []*nats.Msg
	for range 3 {
		for _, id := range ids {
			results = append(results, b.resultOf(id))
		}
	}
	stored := 0
	for i, got := range b.round(s.publisher, results...) {
		switch {
		case got.err == nil:
			stored++
		case !errors.Is(got.err, errConflict):
			t.Errorf("result %d: %v", i, got.err)
		}
	}
	stream, err := b.JS.Stream(b.Context(), b.Names.ResponsesStream())
	if err != nil {
		t.Fatal(err)
	}
	info, err := stream.Info(b.Context(), jetstream.WithSubjectFilter(">"))
	if err != nil {
		t.Fatal(err)
	}
	seen := info.State.Subjects
	for subject, n := range seen {
		if n != 1 {
			t.Errorf("%s has %d results", subject, n)
		}
	}
	if stored != len(ids) || len(seen) != len(ids) {
		t.Errorf("%d were said to be stored, and %d are, of %d", stored, len(seen), len(ids))
	}
}

// Rounds follow one another, whoever publishes.
func TestRoundsOfManyPublishers(t *testing.T) {
	t.Parallel()
	b := setup(t, storedTogether)
	s := b.streams()
	const publishers, each = 64, 10
	done := make(chan error, publishers)
	for range publishers {
		go func() {
			var err error
			for range each {
				_, one := s.publisher.store(b.Context(), b.resultOf(servicetest.NewID()))
				err = errors.Join(err, one)
			}
			done <- err
		}()
	}
	for range publishers {
		if err := <-done; err != nil {
			t.Error(err)
		}
	}
	if n := b.State(b.Names.ResponsesStream()).Msgs; n != publishers*each {
		t.Errorf("%d are stored", n)
	}
}

// A stream that cannot store messages together, or an operator who has not asked for it, has them stored one by one.
func TestRoundsWhereNothingIsGrouped(t *testing.T) {
	t.Parallel()
	for name, change := range map[string]func(*config.Config){
		"by the stream":      storedTogether,
		"by default":         func(*config.Config) {},
		"by the next report": storedTogether,
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t, change)
			b.provision()
			stream, err := b.JS.Stream(b.Context(), b.Names.ClaimsStream())
			if err != nil {
				t.Fatal(err)
			}
			c := stream.CachedInfo().Config
			if name == "by the stream" {
				c.AllowAtomicPublish = false
				if _, err := b.JS.UpdateStream(b.Context(), c); err != nil {
					t.Fatal(err)
				}
			}
			s := b.bind()
			if registered := len(s.publisher.groups) > 0; registered != (name != "by default") {
				t.Errorf("there are groups: %v", registered)
			}
			if name == "by the next report" {
				c.Replicas = 3
				s.noteCopies(jetstream.StreamInfo{Config: c})
			}
			var claims []*nats.Msg
			for range 2 * groupLeast {
				claims = append(claims, b.claimOf(servicetest.NewID(), expectLast(0)))
			}
			for i, got := range b.round(s.publisher, claims...) {
				if got.err != nil {
					t.Errorf("claim %d: %v", i, got.err)
				}
			}
			if sizes, alone := b.batches(b.Names.ClaimsStream()); len(sizes) != 0 || alone != 2*groupLeast {
				t.Errorf("batches %v, and %d messages alone", sizes, alone)
			}
		})
	}
}

// When the connection is lost, whoever is under way or waits for the next round is told.
func TestRoundsEndWithTheConnection(t *testing.T) {
	t.Parallel()
	b := setup(t, storedTogether)
	s := b.streams()
	heard := b.unanswered("silence.>")
	s.publisher.group("silence", "silence.>")
	s.publisher.allow(jetstream.StreamConfig{Name: "silence", AllowAtomicPublish: true})
	const n = 2*groupMost + 1
	told := make(chan error, n)
	for range n {
		s.publisher.publish(&nats.Msg{Subject: "silence." + servicetest.NewID(), Header: nats.Header{jetstream.ExpectedLastSubjSeqHeader: {"0"}}}, func(_ uint64, err error) { told <- err })
	}
	<-heard
	b.nats.Stop()
	for range n {
		select {
		case err := <-told:
			if err == nil {
				t.Error("something was stored")
			}
		case <-b.Context().Done():
			t.Fatal("somebody was not told")
		}
	}
}
