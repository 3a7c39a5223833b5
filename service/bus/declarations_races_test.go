package bus

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"
	"testing"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/tenant"
)

// serial makes consumers and changes streams one at a time: nats-server 2.15.2 has a data
// race between the two (fileStore.ConsumerStore reads what UpdateConfig writes).
type serial struct {
	jetstream.JetStream
	mu *sync.Mutex
}

func (s *serial) CreateConsumer(ctx context.Context, stream string, c jetstream.ConsumerConfig) (jetstream.Consumer, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.JetStream.CreateConsumer(ctx, stream, c)
}

func (s *serial) UpdateStream(ctx context.Context, c jetstream.StreamConfig) (jetstream.Stream, error) {
	s.mu.Lock()
	defer s.mu.Unlock()
	return s.JetStream.UpdateStream(ctx, c)
}

// People who declare and remove at the same time leave every declared tenant its subjects,
// and no others.
func TestRacingDeclarations(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	var people sync.WaitGroup
	one := new(sync.Mutex)
	for i := range 4 {
		d := b.declarations()
		d.conn.JetStream = &serial{d.conn.JetStream, one}
		people.Go(func() {
			for round := range 3 {
				name := fmt.Sprintf("t%d-%d", i, round)
				if _, err := d.Set(b.Context(), name, weight(2)); err != nil {
					t.Errorf("%s: %v", name, err)
				}
				if _, err := d.Set(b.Context(), "shared", func(t *tenant.Tenant) error { t.Weight++; return nil }); err != nil {
					t.Errorf("shared: %v", err)
				}
				if round == 1 {
					if _, err := d.Remove(b.Context(), name, false); err != nil {
						t.Errorf("%s: %v", name, err)
					}
				}
			}
		})
	}
	people.Wait()
	want := "gemini.requests gemini.requests.default.batch gemini.requests.shared gemini.requests.shared.batch"
	for i := range 4 {
		for _, round := range []int{0, 2} {
			want += fmt.Sprintf(" gemini.requests.t%d-%d gemini.requests.t%d-%d.batch", i, round, i, round)
		}
	}
	if diff := without(strings.Fields(want), strings.Fields(b.subjects())); len(diff) > 0 || len(strings.Fields(b.subjects())) != len(strings.Fields(want)) {
		t.Errorf("subjects: got %s\nwant %s", b.subjects(), want)
	}
	if shared, err := b.declarations().Get(b.Context(), "shared"); err != nil || shared.Weight != 13 {
		t.Errorf("twelve changes of one record: weight %d, want 13; %v", shared.Weight, err)
	}
}

// before has something done once between the reading of a stream and its change.
type before struct {
	jetstream.JetStream
	once func()
}

func (c *before) UpdateStream(ctx context.Context, config jetstream.StreamConfig) (jetstream.Stream, error) {
	c.now()
	return c.JetStream.UpdateStream(ctx, config)
}

func (c *before) CreateOrUpdateStream(ctx context.Context, config jetstream.StreamConfig) (jetstream.Stream, error) {
	c.now()
	return c.JetStream.CreateOrUpdateStream(ctx, config)
}

func (c *before) now() {
	if once := c.once; once != nil {
		c.once = nil
		once()
	}
}

// The subjects are replaced as a whole, so whoever is slow takes back what another one has
// done meanwhile. That is mended, whatever the two are.
func TestSubjectsOfAnotherAreMended(t *testing.T) {
	t.Parallel()
	set := func(name string) func(*bench, *Declarations) error {
		return func(b *bench, d *Declarations) error { _, err := d.Set(b.Context(), name, weight(2)); return err }
	}
	remove := func(b *bench, d *Declarations) error { _, err := d.Remove(b.Context(), "there", false); return err }
	provision := func(b *bench, d *Declarations) error { return d.topology.Provision(b.Context(), d.conn.JetStream) }
	const base, there = "gemini.requests gemini.requests.default.batch", " gemini.requests.there gemini.requests.there.batch"
	for name, c := range map[string]struct {
		slow, fast func(*bench, *Declarations) error
		want       string
	}{
		"set, set":       {set("slow"), set("fast"), base + " gemini.requests.fast gemini.requests.fast.batch gemini.requests.slow gemini.requests.slow.batch" + there},
		"set, remove":    {set("slow"), remove, base + " gemini.requests.slow gemini.requests.slow.batch"},
		"remove, set":    {remove, set("fast"), base + " gemini.requests.fast gemini.requests.fast.batch"},
		"provision, set": {provision, set("fast"), base + " gemini.requests.fast gemini.requests.fast.batch" + there},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			b.provision()
			slow, fast := b.declarations(), b.declarations()
			if err := set("there")(b, fast); err != nil {
				t.Fatal(err)
			}
			inBetween := errors.New("it was not done")
			slow.conn.JetStream = &before{slow.conn.JetStream, func() { inBetween = c.fast(b, fast) }}
			if err := errors.Join(c.slow(b, slow), inBetween); err != nil {
				t.Fatal(err)
			}
			have, want := strings.Fields(b.subjects()), strings.Fields(c.want)
			if len(without(want, have))+len(without(have, want)) > 0 {
				t.Errorf("subjects: got %s, want %s", have, want)
			}
		})
	}
}

// Consumers come first and go last, and the record the other way round: at no time is there
// a subject that nobody reads, or a tenant that cannot be published for.
func TestOrderOfDeclaring(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	d, look := b.declarations(), b.declarations()
	whenSubjectsChange := func(then func(consumers bool, declared error)) {
		d.conn.JetStream = &before{look.conn.JetStream, func() {
			depths, err := look.Depths(b.Context())
			if err != nil {
				t.Error(err)
			}
			interactive, slow := look.Lanes("acme", depths)
			_, err = look.Get(b.Context(), "acme")
			then(interactive != nil && slow != nil, err)
		}}
	}
	asked := 0
	check := func(consumers bool, declared error) {
		if asked++; !consumers || !errors.Is(declared, ErrUndeclared) {
			t.Errorf("consumers are there: %t; the record: %v", consumers, declared)
		}
	}
	whenSubjectsChange(check)
	if _, err := d.Set(b.Context(), "acme", weight(2)); err != nil {
		t.Fatal(err)
	}
	whenSubjectsChange(check)
	if _, err := d.Remove(b.Context(), "acme", false); err != nil || asked != 2 {
		t.Errorf("%v, the subjects were changed %d times", err, asked)
	}
}

// What is published while a tenant is being removed is not lost: the tenant stays.
func TestRequestAtTheLastMoment(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.provision()
	d, look := b.declarations(), b.declarations()
	if _, err := d.Set(b.Context(), "acme", weight(2)); err != nil {
		t.Fatal(err)
	}
	d.conn.JetStream = &before{look.conn.JetStream, func() {
		if err := b.publishes("acme", "interactive"); err != nil {
			t.Error(err)
		}
	}}
	if _, err := d.Remove(b.Context(), "acme", false); !errors.Is(err, ErrInUse) {
		t.Errorf("removed: %v", err)
	}
	got, err := look.Get(b.Context(), "acme")
	if err != nil || got.Weight != 2 || b.publishes("acme", "batch") != nil {
		t.Errorf("it is not as it was: %+v, %v", got, err)
	}
}
