package bus

import (
	"context"
	"errors"
	"fmt"
	"slices"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/tenant"
)

// tenantsMost is how many tenants can be declared: workers read all records with one
// question, which a server answers with 1,024 at most.
const tenantsMost = 1000

// recordTries is how often a change of a record is tried beside those of others.
const recordTries = 20

// Errors of Declarations.
var (
	// ErrBadTenant is what cannot be declared.
	ErrBadTenant = errors.New("that cannot be declared")
	// ErrUndeclared is a tenant of which nothing is declared.
	ErrUndeclared = errors.New("is not declared")
	// ErrInUse is a tenant whose requests wait, or are in flight.
	ErrInUse = errors.New("has requests in its queues")
)

// Declarations are the declared tenants as a person manages them: the record of each, its
// two subjects in the stream of requests, and their consumers. Whatever is interrupted can
// be repeated.
type Declarations struct {
	conn     *Conn
	topology Topology
	names    events.Names
}

// NewDeclarations returns those of a server. Nothing is asked before they are used.
func NewDeclarations(c config.Config, conn *Conn) *Declarations {
	return &Declarations{conn: conn, topology: NewTopology(c, conn.MaxPayload()), names: c.Names()}
}

// List returns all tenants that are declared, by name. Errors: those of [Conn.Do],
// JetStream's.
func (d *Declarations) List(ctx context.Context) (all []Declared, err error) {
	err = d.conn.Do(ctx, d.names.TenantsStream(), func(ctx context.Context) error {
		all, err = declaredTenants(ctx, d.conn.JetStream, d.names)
		return err
	})
	return all, d.wrap(err)
}

// Get returns one of them. Errors: ErrUndeclared, ErrBadTenant, as List.
func (d *Declarations) Get(ctx context.Context, name string) (Declared, error) {
	one, exists, err := d.record(ctx, name)
	if err == nil && !exists {
		err = fmt.Errorf("%s %w", name, ErrUndeclared)
	}
	return one, err
}

// checkName refuses what is no tenant's name before it becomes part of a subject: with a
// wildcard it would be about all records.
func checkName(name string) error {
	if events.ValidTenant(name) {
		return nil
	}
	return fmt.Errorf("%w: %q is no tenant's name: give one of 1 to 64 characters of A-Z, a-z, 0-9, _ and -; `gemini-client tenants list` shows those there are", ErrBadTenant, name)
}

// record reads one record. Where there is no bucket there is none. Errors: ErrBadTenant for
// what is no name.
func (d *Declarations) record(ctx context.Context, name string) (one Declared, exists bool, err error) {
	if err := checkName(name); err != nil {
		return one, false, err
	}
	err = d.conn.Do(ctx, d.names.TenantsStream(), func(ctx context.Context) error {
		one, exists, err = declaredTenant(ctx, d.conn.JetStream, d.names, name)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		return err
	})
	return one, exists, d.wrap(err)
}

// Set declares a tenant, or changes what is declared of it: change is given what is, and
// may be called more than once. First come the consumers, then the subjects, then the
// record: so nobody can publish what nobody reads. Errors: change's, an ErrBadTenant
// that names every problem, ErrInUse, those of [Conn.Do], JetStream's.
func (d *Declarations) Set(ctx context.Context, name string, change func(*tenant.Tenant) error) (now Declared, err error) {
	for range recordTries {
		before, exists, err := d.record(ctx, name)
		if err != nil {
			return before, err
		}
		now = before
		now.Models = slices.Clone(before.Models)
		if err := errors.Join(change(&now.Tenant), now.Validate(), d.topology.checkTenant(name)); err != nil {
			return before, fmt.Errorf("%w of %s:\n%w", ErrBadTenant, name, err)
		}
		if err := d.mayChange(ctx, before, now, exists); err != nil {
			return before, err
		}
		now.Revision, err = d.establish(ctx, now)
		if errors.Is(err, errConflict) { // somebody else was faster: theirs is changed then
			continue
		}
		if err != nil {
			return before, err
		}
		return now, d.settle(ctx)
	}
	return now, errors.New("others keep changing it: try again")
}

// mayChange checks what depends on more than the record.
func (d *Declarations) mayChange(ctx context.Context, before, now Declared, exists bool) error {
	if before.Isolated != now.Isolated {
		open, err := d.open(ctx, before)
		if err != nil {
			return err
		}
		if open != "" {
			return fmt.Errorf("isolated cannot be changed: %s %w: %s; results of these would go elsewhere than their backend looks. Stop its backends, wait until they are answered, and try again", now.Name, ErrInUse, open)
		}
	}
	if exists {
		return nil
	}
	all, err := d.List(ctx)
	if err == nil && len(all) >= tenantsMost {
		err = fmt.Errorf("%w: there are %d tenants already, which is the most: remove one first", ErrBadTenant, len(all))
	}
	return err
}

// establish makes a tenant's queues, then its record, and the queues again: somebody who
// removes it looks for a record after the queues are gone, and may not have found this one
// yet. Errors: errConflict if the record is another one by now, as Set.
func (d *Declarations) establish(ctx context.Context, now Declared) (revision uint64, err error) {
	if err := d.makeQueues(ctx, now.Name); err != nil {
		return 0, err
	}
	if revision, err = d.put(ctx, now); err != nil {
		return 0, d.wrap(err)
	}
	return revision, d.makeQueues(ctx, now.Name)
}

// queues are those of a tenant. They wait as long for an acknowledgement as the queue that
// the service has made, whose settings a person who declares a tenant may not have.
func (d *Declarations) queues(ctx context.Context, name string) (of []QueueConsumer, err error) {
	t := d.topology
	err = d.conn.Do(ctx, "."+d.names.RequestsStream(), func(ctx context.Context) error {
		first, err := d.conn.JetStream.Consumer(ctx, d.names.RequestsStream(), Durable)
		if errors.Is(err, jetstream.ErrConsumerNotFound) {
			return nil
		}
		if err == nil {
			t.ackWait = first.CachedInfo().Config.AckWait
		}
		return err
	})
	return t.Queues(name), err
}

// makeQueues makes the consumers of a tenant and then its subjects, and the bucket.
func (d *Declarations) makeQueues(ctx context.Context, name string) error {
	js := d.conn.JetStream
	queues, err := d.queues(ctx, name)
	if err != nil {
		return d.wrap(err)
	}
	err = d.conn.Do(ctx, d.names.TenantsStream(), func(ctx context.Context) error {
		_, err := ensureStream(ctx, js, d.topology.Tenants, true)
		return err
	})
	subjects := []string{}
	for _, q := range queues {
		if !q.spare() || d.topology.overlapping(q) != "" { // REQUEST_QUEUE is there
			continue
		}
		subjects = append(subjects, q.Config.FilterSubject)
		err = errors.Join(err, d.conn.Do(ctx, "."+q.Stream, func(ctx context.Context) error {
			_, err := ensureConsumer(ctx, js, q, true)
			return err
		}))
	}
	if err != nil {
		return d.wrap(err)
	}
	return d.replaceSubjects(ctx, func(have []string) []string { return append(slices.Clone(have), without(subjects, have)...) })
}

func (d *Declarations) put(ctx context.Context, now Declared) (revision uint64, err error) {
	err = d.conn.Do(ctx, d.names.Tenant(now.Name), func(ctx context.Context) error {
		revision, err = putTenant(ctx, d.conn.JetStream, d.names, now)
		return err
	})
	return revision, err
}

func (d *Declarations) drop(ctx context.Context, one Declared) (revision uint64, err error) {
	err = d.conn.Do(ctx, d.names.Tenant(one.Name), func(ctx context.Context) error {
		revision, err = dropTenant(ctx, d.conn.JetStream, d.names, one)
		return err
	})
	return revision, err
}

func (d *Declarations) replaceSubjects(ctx context.Context, change func([]string) []string) error {
	err := d.conn.Do(ctx, "."+d.names.RequestsStream(), func(ctx context.Context) error {
		return d.topology.replaceSubjects(ctx, d.conn.JetStream, change)
	})
	if api := new(jetstream.APIError); errors.As(err, &api) && api.ErrorCode == jsErrSubjectsOverlap {
		err = fmt.Errorf("%w: a subject of the tenant is another stream's: give the tenant another name, or that stream other subjects: %w", ErrBadTenant, err)
	}
	return d.wrap(err)
}

func (d *Declarations) settle(ctx context.Context) error {
	return d.wrap(d.conn.Do(ctx, d.names.StreamPrefix+"_", func(ctx context.Context) error {
		return d.topology.settle(ctx, d.conn.JetStream)
	}))
}

// wrap says what to do where the streams are not there.
func (d *Declarations) wrap(err error) error {
	if errors.Is(err, jetstream.ErrStreamNotFound) || errors.Is(err, nats.ErrNoResponders) || errors.Is(err, jetstream.ErrJetStreamNotEnabled) {
		return fmt.Errorf("the streams are not there: has a service run against this server, or `gemini-client provision`? (%w)", err)
	}
	return err
}
