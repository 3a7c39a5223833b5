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
const removedKept = time.Hour

// Declared is a tenant as it is declared.
type Declared struct {
	tenant.Tenant
	Broken   error     // why the record cannot be used; nil if it can
	Revision uint64    // of the record
	Changed  time.Time // when it was stored
}

// declaredTenants reads all records, by name. Where there is no bucket there are none.
// Records under what is no tenant's name are left out. Errors: JetStream's.
func declaredTenants(ctx context.Context, js jetstream.JetStream, n events.Names) ([]Declared, error) {
	bucket, err := js.KeyValue(ctx, n.TenantsBucket())
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, err
	}
	watch, err := bucket.WatchAll(ctx, jetstream.IgnoreDeletes())
	if err != nil {
		return nil, err
	}
	defer watch.Stop() //nolint:errcheck // it ends with the connection
	var all []Declared
	for {
		select {
		case entry := <-watch.Updates():
			if entry == nil { // that was all, or the connection is closed
				slices.SortFunc(all, func(a, b Declared) int { return strings.Compare(a.Name, b.Name) })
				return all, nil
			}
			if events.ValidTenant(entry.Key()) {
				all = append(all, newDeclaredTenant(entry.Key(), entry.Value(), entry.Revision(), entry.Created()))
			}
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
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
