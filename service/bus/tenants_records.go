package bus

import (
	"context"
	"encoding/json"
	"errors"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/tenant"
)

// removedKept is how long the mark of a removed tenant stays: as it counts among the
// records, as many as one question can be answered with.
const removedKept = 5 * time.Minute

const (
	recordsAtOnce = 500              // that are read with one pull
	recordsIdle   = 10 * time.Second // how long a consumer that read them stays
)

// Declared is a tenant as it is declared.
type Declared struct {
	tenant.Tenant
	Broken   error     // why the record cannot be used; nil if it can
	Revision uint64    // of the record
	Changed  time.Time // when it was stored
}

// declaredTenants reads all records, by name. Where there is no bucket there are none.
// Records under what is no tenant's name are left out. It pulls: a consumer that pushes,
// as a watch of the bucket makes, would need the right to answer its flow control. Errors:
// JetStream's.
func declaredTenants(ctx context.Context, js jetstream.JetStream, n events.Names) (all []Declared, err error) {
	consumer, err := js.CreateConsumer(ctx, n.TenantsStream(), jetstream.ConsumerConfig{
		DeliverPolicy: jetstream.DeliverLastPerSubjectPolicy, FilterSubject: n.TenantsAll(),
		AckPolicy: jetstream.AckNonePolicy, MemoryStorage: true, InactiveThreshold: recordsIdle,
	})
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	for left := consumer.CachedInfo().NumPending; left > 0; {
		batch, err := consumer.Fetch(int(min(left, recordsAtOnce)), jetstream.FetchContext(ctx))
		if err != nil {
			return nil, err
		}
		for m := range batch.Messages() {
			left--
			name := strings.TrimPrefix(m.Subject(), n.Tenant(""))
			about, err := m.Metadata()
			if err == nil && events.ValidTenant(name) && !(tenantRecord{header: m.Headers()}).gone() {
				all = append(all, newDeclaredTenant(name, m.Data(), about.Sequence.Stream, about.Timestamp))
			}
		}
		if err := errors.Join(batch.Error(), context.Cause(ctx)); err != nil {
			return nil, err
		}
	}
	slices.SortFunc(all, func(a, b Declared) int { return strings.Compare(a.Name, b.Name) })
	return all, js.DeleteConsumer(ctx, n.TenantsStream(), consumer.CachedInfo().Name)
}

func newDeclaredTenant(name string, data []byte, revision uint64, at time.Time) Declared {
	t, err := tenant.Decode(name, data)
	return Declared{Tenant: t, Broken: err, Revision: revision, Changed: at.UTC()}
}

// declaredTenant reads one record from the leader of its stream. exists is false if there
// is none; its revision is still what the next one has to follow. Errors: JetStream's.
func declaredTenant(ctx context.Context, js jetstream.JetStream, n events.Names, name string) (d Declared, exists bool, err error) {
	d = Declared{Tenant: tenant.Undeclared(name)}
	stream, err := js.Stream(ctx, n.TenantsStream())
	if err != nil {
		return d, false, err
	}
	m, err := stream.GetLastMsgForSubject(ctx, n.Tenant(name))
	if errors.Is(err, jetstream.ErrMsgNotFound) {
		return d, false, nil
	}
	if err != nil {
		return d, false, err
	}
	if (tenantRecord{header: m.Header}).gone() {
		d.Revision = m.Sequence
		return d, false, nil
	}
	return newDeclaredTenant(name, m.Data, m.Sequence, m.Time), true, nil
}

// putTenant stores a record in the place of the one with d's revision. Errors: errConflict
// if that is not the last one, JetStream's.
func putTenant(ctx context.Context, js jetstream.JetStream, n events.Names, d Declared) (uint64, error) {
	data, err := json.Marshal(d.Tenant)
	if err != nil {
		return 0, err
	}
	ack, err := js.PublishMsg(ctx, &nats.Msg{Subject: n.Tenant(d.Name), Data: data}, recordOptions(n, d.Revision)...)
	if err != nil {
		return 0, classify(err)
	}
	return ack.Sequence, nil
}

// dropTenant marks that there is no record in the place of the one with a revision, and
// drops what it was. Errors: as putTenant.
func dropTenant(ctx context.Context, js jetstream.JetStream, n events.Names, d Declared) (uint64, error) {
	m := &nats.Msg{Subject: n.Tenant(d.Name), Header: nats.Header{
		headerOperation: {"PURGE"}, jetstream.MsgRollup: {jetstream.MsgRollupSubject},
	}}
	ack, err := js.PublishMsg(ctx, m, append(recordOptions(n, d.Revision), jetstream.WithMsgTTL(removedKept))...)
	if err != nil {
		return 0, classify(err)
	}
	return ack.Sequence, nil
}

func recordOptions(n events.Names, revision uint64) []jetstream.PublishOpt {
	return []jetstream.PublishOpt{
		jetstream.WithExpectStream(n.TenantsStream()), jetstream.WithExpectLastSequencePerSubject(revision), jetstream.WithRetryAttempts(0),
	}
}
