package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

// settleTries is how often the subjects are compared with what is declared.
const settleTries = 10

// The subjects of the stream of requests are one list, which JetStream replaces as a
// whole, without a condition: of two people who add a tenant each at the same time the
// second may take back what the first has added. So whoever has changed the list, or what
// it follows from, compares both afterwards and mends the list (settle). The last one who
// does sees everything. A subject is kept if its tenant is declared, or if its consumer is
// there: then it is being declared, as the consumer comes first and goes last.

// subjects returns those that the stream of requests has to have: a base, and those of
// the tenants that are declared, or are about to be.
func (t Topology) subjects(ctx context.Context, js jetstream.JetStream, base, have []string) ([]string, error) {
	declared, err := declaredTenants(ctx, js, t.names)
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", t.names.TenantsBucket(), err)
	}
	var of []string
	for _, one := range declared {
		for _, q := range t.Queues(one.Name) {
			if t.overlapping(q) == "" {
				of = append(of, q.Config.FilterSubject)
			}
		}
	}
	for _, subject := range without(have, append(slices.Clone(base), of...)) {
		tenant, lane, ok := t.names.ParseRequests(subject)
		if !ok {
			continue
		}
		if tenant == events.DefaultTenant {
			of = append(of, subject)
			continue
		}
		_, err := js.Consumer(ctx, t.names.RequestsStream(), consumerName(tenant, lane))
		if err == nil {
			of = append(of, subject)
		} else if !errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil, err
		}
	}
	of = without(of, base)
	slices.Sort(of)
	return append(slices.Clone(base), slices.Compact(of)...), nil
}

// WithTenants adds the queues of the tenants that are declared, or are about to be.
// Errors: JetStream's.
func (t Topology) WithTenants(ctx context.Context, js jetstream.JetStream) (Topology, error) {
	var have []string
	most := 0
	stream, err := js.Stream(ctx, t.names.RequestsStream())
	switch {
	case err == nil:
		have, most = stream.CachedInfo().Config.Subjects, stream.CachedInfo().Config.MaxConsumers
	case !errors.Is(err, jetstream.ErrStreamNotFound):
		return t, err
	}
	t.Streams, t.Consumers = slices.Clone(t.Streams), slices.Clone(t.Consumers)
	for i := range t.Streams {
		if s := &t.Streams[i]; s.Name == t.names.RequestsStream() {
			if s.Subjects, err = t.subjects(ctx, js, requestSubjects(t.names), have); err != nil {
				return t, err
			}
			s.MaxConsumers = most // see makeConsumer
			for _, subject := range without(s.Subjects, requestSubjects(t.names)) {
				tenant, lane, _ := t.names.ParseRequests(subject)
				t.Consumers = append(t.Consumers, t.queue(tenant, lane))
			}
		}
	}
	return t, nil
}

// foreign returns the subjects that are no tenant's, and REQUEST_QUEUE.
func (t Topology) foreign(have []string) []string {
	return slices.DeleteFunc(slices.Clone(have), func(subject string) bool {
		_, _, ok := t.names.ParseRequests(subject)
		return ok && subject != t.names.RequestQueue
	})
}

// settle gives the stream of requests the subjects that it has to have, until it has
// them. Errors: JetStream's.
func (t Topology) settle(ctx context.Context, js jetstream.JetStream) error {
	for range settleTries {
		stream, err := js.Stream(ctx, t.names.RequestsStream())
		if err != nil {
			return err
		}
		c := stream.CachedInfo().Config
		want, err := t.subjects(ctx, js, t.foreign(c.Subjects), c.Subjects)
		if err != nil {
			return err
		}
		if len(without(want, c.Subjects)) == 0 && len(without(c.Subjects, want)) == 0 {
			return nil
		}
		if err := t.replaceSubjects(ctx, js, func([]string) []string { return want }); err != nil {
			return err
		}
	}
	return errors.New("others keep changing the subjects of stream " + t.names.RequestsStream() + ": try again")
}

// replaceSubjects changes the subjects of the stream of requests and nothing else of it.
// Errors: JetStream's.
func (t Topology) replaceSubjects(ctx context.Context, js jetstream.JetStream, change func([]string) []string) error {
	stream, err := js.Stream(ctx, t.names.RequestsStream())
	if err != nil {
		return err
	}
	c := stream.CachedInfo().Config
	want := change(c.Subjects)
	if slices.Equal(want, c.Subjects) {
		return nil
	}
	c.Subjects = want
	_, err = js.UpdateStream(ctx, c)
	return err
}

// overlapping says which subjects of the service a queue would take in; "" if none.
func (t Topology) overlapping(q QueueConsumer) string {
	filters := []string{t.names.Status(), t.names.Deltas("*")}
	for _, s := range t.Streams {
		if s.Name != q.Stream {
			filters = append(filters, s.Subjects...)
		}
	}
	for _, filter := range filters {
		if overlaps(q.Config.FilterSubject, filter) {
			return filter
		}
	}
	return ""
}

// checkTenant returns why a tenant of this name cannot be: its subjects are taken.
func (t Topology) checkTenant(name string) error {
	if name == events.DefaultTenant {
		return nil
	}
	var taken []string
	for _, q := range t.Queues(name) {
		if filter := t.overlapping(q); filter != "" {
			taken = append(taken, fmt.Sprintf("%s lies on %s", q.Config.FilterSubject, filter))
		}
	}
	if len(taken) == 0 {
		return nil
	}
	return fmt.Errorf("name: %q cannot be a tenant's here, as its subjects are the service's own: %s; give another name", name, strings.Join(taken, ", "))
}
