package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"log/slog"
	"reflect"
	"slices"
	"strings"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/tenant"
)

const (
	// tenantsEvery is how often the declared tenants are read, whatever is heard.
	tenantsEvery = time.Minute
	// tenantsSoon is when they are read again after a change was heard: that may be
	// before it is stored, and on other servers later.
	tenantsSoon = time.Second
	// tenantsFirst bounds how long a start waits for them.
	tenantsFirst = 500 * time.Millisecond
)

// Headers by which a record of a key-value bucket says that there is none (ADR-8).
const (
	headerOperation = "KV-Operation"
	headerMarker    = "Nats-Marker-Reason"
)

// declared keeps what this process knows of the declared tenants. A worker may create
// no consumers, so it does not watch the bucket as other clients do: it hears each change
// on the subject of its record, and reads all records then, in one question.
type declared struct {
	conn     *Conn
	names    events.Names
	log      *slog.Logger
	registry *tenant.Registry
	wake     chan struct{}
	heard    atomic.Bool   // a change, since the last reading
	known    atomic.Bool   // what is declared, or that nothing can be known
	every    time.Duration // tenantsEvery

	said   bool              // that the records cannot be read
	broken map[string]uint64 // records that cannot be used, of which the log tells, by tenant
}

func newDeclared(conn *Conn, names events.Names, log *slog.Logger) *declared {
	return &declared{conn: conn, names: names, log: log, registry: tenant.NewRegistry(), wake: make(chan struct{}, 1), every: tenantsEvery, broken: map[string]uint64{}}
}

// first reads them before messages are taken, if that takes no time.
func (d *declared) first(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, tenantsFirst)
	defer cancel()
	d.read(ctx)
}

// run keeps them current until ctx ends. It holds up nobody.
func (d *declared) run(ctx context.Context) {
	defer d.listen()()
	wait := time.NewTimer(0)
	defer wait.Stop()
	for {
		select {
		case <-ctx.Done():
			return
		case <-wait.C:
		case <-d.wake:
		}
		next := d.every
		if d.heard.Swap(false) {
			next = tenantsSoon
		}
		if !d.read(ctx) {
			next = min(next, requestTimeout)
			if !d.known.Load() { // nothing is taken
				next = tenantsFirst
			}
		}
		wait.Reset(next)
	}
}

// changed has them read soon, and once more: after a change, and after a time in which
// changes were not heard.
func (d *declared) changed() {
	d.heard.Store(true)
	signal(d.wake)
}

// listen hears of changes. Where this user may not, they are found by the next reading.
func (d *declared) listen() (stop func()) {
	sub, err := d.conn.Subscribe(d.names.Tenant("*"), func(*nats.Msg) { d.changed() })
	if err != nil {
		d.log.Debug("changes of declared tenants are not heard, but found within a minute", "error", err)
		return func() {}
	}
	return func() { _ = sub.Unsubscribe() }
}

// tenantRecord is a tenant's record, as it is stored.
type tenantRecord struct {
	name     string
	sequence uint64
	header   nats.Header
	data     []byte
}

// gone reports whether the record says that there is none.
func (r tenantRecord) gone() bool {
	return r.header.Get(headerOperation) != "" || r.header.Get(headerMarker) != ""
}

// read takes up what is declared now, and returns whether there was an answer. What
// cannot be read stays as it is known.
func (d *declared) read(ctx context.Context) (answered bool) {
	if !d.conn.IsConnected() {
		return false
	}
	records, err := d.records(ctx)
	switch {
	case err == nil:
		d.said = false
		d.takeUp(ctx, records)
		d.known.Store(true)
		return true
	case errors.Is(err, nats.ErrNoResponders): // no bucket, no tenants; or one whose server comes up
		if !d.mayBeThere(ctx) {
			d.known.Store(true)
			return true
		}
		return false
	case errors.Is(err, ErrDenied), errors.Is(err, errNotAll):
		if errors.Is(err, ErrDenied) { // an old configuration, which knows of no tenants
			d.known.Store(true)
		}
		if !d.said {
			d.said = true
			d.log.InfoContext(ctx, "declared tenants cannot be read: what is known of them stays as it is", "bucket", d.names.TenantsBucket(), "error", err)
		}
		return true
	case ctx.Err() == nil:
		d.log.DebugContext(ctx, "declared tenants were not read", "error", err)
	}
	return false
}

// mayBeThere reports whether there may be a bucket: it is there, or NATS does not say. An
// account that knows of none does not answer.
func (d *declared) mayBeThere(ctx context.Context) bool {
	_, err := d.conn.stream(ctx, d.names.TenantsStream())
	_, answered := errors.AsType[*jetstream.APIError](err)
	return !answered && !errors.Is(err, ErrDenied) && !errors.Is(err, nats.ErrNoResponders)
}

// unknown says for people that requests are not taken yet; "" if they are.
func (d *declared) unknown() string {
	if d.known.Load() {
		return ""
	}
	return "what is declared of tenants is not known yet"
}

// takeUp makes the records known. One that cannot be used is as it was before, and said
// once.
func (d *declared) takeUp(ctx context.Context, records []tenantRecord) {
	var all []tenant.Tenant
	known := d.registry.Declared()
	for _, r := range records {
		t, err := tenant.Decode(r.name, r.data)
		if err == nil {
			delete(d.broken, r.name)
			all = append(all, t)
			continue
		}
		if d.broken[r.name] != r.sequence {
			d.broken[r.name] = r.sequence
			d.log.WarnContext(ctx, "what is declared of a tenant cannot be used, and stays as it was: gemini-client tenants set mends it", "tenant", shownTenant(r.name), "error", err)
		}
		if i := slices.IndexFunc(known, func(t tenant.Tenant) bool { return t.Name == r.name }); i >= 0 {
			all = append(all, known[i])
		}
	}
	slices.SortFunc(all, func(a, b tenant.Tenant) int { return strings.Compare(a.Name, b.Name) })
	if len(all) == 0 && len(known) == 0 || reflect.DeepEqual(all, known) {
		return
	}
	d.registry.Replace(all)
	d.log.InfoContext(ctx, "declared tenants have changed", "tenants", len(all))
}

// shownTenant is a name as the log shows it: anybody may have put a record under any.
func shownTenant(name string) string {
	if events.ValidTenant(name) {
		return name
	}
	return fmt.Sprintf("%.64q", name)
}

// records asks for the last state of each record, in one question. Errors: errNotAll if
// there are more than 1,024 or some were not told, ErrDenied, ErrNoAnswer,
// nats.ErrNoResponders if there is no bucket or this user may not ask, ctx's cause.
func (d *declared) records(ctx context.Context) ([]tenantRecord, error) {
	question, err := json.Marshal(map[string]any{"multi_last": []string{d.names.TenantsAll()}})
	if err != nil {
		return nil, err
	}
	var found []tenantRecord
	done := make(chan error, 1)
	d.ask(question, func(r tenantRecord) { found = append(found, r) }, func(err error) { done <- err })
	select {
	case err := <-done:
		return found, err
	case <-ctx.Done():
		return nil, context.Cause(ctx)
	}
}

func (d *declared) ask(question []byte, got func(tenantRecord), done func(error)) {
	var current *nats.Msg
	answer := &lastsAnswer{done: done}
	answer.got = func(f found) {
		r := tenantRecord{name: strings.TrimPrefix(f.subject, d.names.Tenant("")), sequence: f.sequence, header: current.Header, data: current.Data}
		if !r.gone() {
			got(r)
		}
	}
	d.conn.mux.ask(&nats.Msg{Subject: d.conn.api("DIRECT.GET." + d.names.TenantsStream()), Data: question}, func(m *nats.Msg, err error) bool {
		current = m
		return answer.take(m, err)
	})
}
