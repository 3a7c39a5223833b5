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

// Remove ends a tenant: first the record, then the subjects, then the consumers. With
// force the requests that it has in its queues go with it, and lost is how many that were.
// Of the default tenant only the record goes. Errors: ErrUndeclared, ErrBadTenant, ErrInUse
// (whose text says how many there are), those of [Conn.Do], JetStream's.
func (d *Declarations) Remove(ctx context.Context, name string, force bool) (lost uint64, err error) {
	for range recordTries {
		before, exists, err := d.record(ctx, name)
		if err != nil {
			return 0, err
		}
		if name == events.DefaultTenant {
			return 0, d.removeRecord(ctx, before, exists)
		}
		lost, err = d.remove(ctx, before, exists, force)
		if !errors.Is(err, errConflict) {
			return lost, err
		}
	}
	return 0, errors.New("others keep changing it: try again")
}

func (d *Declarations) removeRecord(ctx context.Context, before Declared, exists bool) error {
	if !exists {
		return fmt.Errorf("%s %w", before.Name, ErrUndeclared)
	}
	_, err := d.drop(ctx, before)
	return d.wrap(err)
}

// remove ends a tenant that is not the default one. The error is errConflict if its record
// was changed meanwhile.
func (d *Declarations) remove(ctx context.Context, before Declared, exists, force bool) (lost uint64, err error) {
	queues := d.topology.Queues(before.Name)
	if err := d.idle(ctx, before, force); err != nil {
		return 0, err
	}
	gone := before
	if exists {
		if gone.Revision, err = d.drop(ctx, before); err != nil {
			return 0, d.wrap(err)
		}
	}
	had := false
	err = d.replaceSubjects(ctx, func(have []string) []string {
		rest := without(have, []string{queues[0].Config.FilterSubject, queues[1].Config.FilterSubject})
		had = len(rest) < len(have)
		return rest
	})
	if err != nil {
		return 0, err
	}
	if err := d.idle(ctx, before, force); err != nil { // something came at the last moment
		return 0, errors.Join(err, d.putBack(ctx, before, gone, exists))
	}
	lost, deleted, err := d.deleteQueues(ctx, queues, force)
	if err != nil {
		return lost, err
	}
	late, err := d.afterwards(ctx, before.Name, queues, force)
	lost += late
	switch {
	case errors.Is(err, errStranded):
		return lost, errors.Join(err, d.putBack(ctx, before, gone, exists))
	case err == nil && !exists && !had && !deleted:
		err = fmt.Errorf("%s %w", before.Name, ErrUndeclared)
	}
	return lost, err
}

// errStranded are requests that would wait for a consumer which is gone.
var errStranded = fmt.Errorf("requests came while it was being removed, so it stays: it %w", ErrInUse)

// afterwards looks once more when the queues are gone. Somebody may have declared the tenant
// while they went: then it has them again, and stays. Somebody may have given its subjects
// back to the stream, and others published there: these requests are lost if force says so,
// and else an errStranded.
func (d *Declarations) afterwards(ctx context.Context, name string, queues []QueueConsumer, force bool) (lost uint64, err error) {
	_, again, err := d.record(ctx, name)
	if err != nil {
		return 0, err
	}
	if again {
		return 0, errors.Join(fmt.Errorf("%s was declared by somebody else meanwhile, and stays: remove it again if that is wrong", name), d.makeQueues(ctx, name), d.settle(ctx))
	}
	if err := d.settle(ctx); err != nil {
		return 0, err
	}
	for _, q := range queues {
		err := d.conn.Do(ctx, "."+q.Stream, func(ctx context.Context) error {
			n, err := purgeSubject(ctx, d.conn.JetStream, q, force)
			lost += n
			return err
		})
		if err != nil {
			return lost, d.wrap(err)
		}
	}
	if lost > 0 && !force {
		return 0, errStranded
	}
	return lost, nil
}

// idle returns ErrInUse if a tenant has requests that are not answered, unless that is no
// matter.
func (d *Declarations) idle(ctx context.Context, one Declared, force bool) error {
	if force {
		return nil
	}
	open, err := d.open(ctx, one)
	if err == nil && open != "" {
		err = fmt.Errorf("%s %w: %s. Stop its backends and wait until they are answered; or have them lost, with --force --yes", one.Name, ErrInUse, open)
	}
	return err
}

// open says how many requests of a tenant are not answered yet; "" for none. Of an isolated
// one it counts those too that wait for a retry, as their schedules have its callback. Other
// tenants' have those of everybody, and cannot be told.
func (d *Declarations) open(ctx context.Context, one Declared) (text string, err error) {
	waiting, inFlight, err := d.InUse(ctx, one.Name)
	if err != nil {
		return "", err
	}
	if waiting+inFlight > 0 {
		text = fmt.Sprintf("%d wait and %d are in flight", waiting, inFlight)
	}
	if !one.Isolated {
		return text, nil
	}
	retries, err := d.retries(ctx, one.Name)
	if retries > 0 {
		text = strings.TrimPrefix(fmt.Sprintf("%s, and %d wait for a retry, which are answered and not lost", text, retries), ", and ")
	}
	return text, err
}

// retries counts the schedules on an isolated tenant's callback.
func (d *Declarations) retries(ctx context.Context, name string) (n int, err error) {
	stream := d.names.RetriesStream()
	err = d.conn.Do(ctx, "."+stream, func(ctx context.Context) error {
		found, err := d.conn.JetStream.Stream(ctx, stream)
		if errors.Is(err, jetstream.ErrStreamNotFound) {
			return nil
		}
		if err != nil {
			return err
		}
		info, err := found.Info(ctx, jetstream.WithSubjectFilter(d.names.Later(d.names.Of(name).ResponseQueue, "*")))
		if err == nil {
			n = len(info.State.Subjects)
		}
		return err
	})
	return n, d.wrap(err)
}

// putBack undoes a removal.
func (d *Declarations) putBack(ctx context.Context, before, gone Declared, exists bool) error {
	if !exists {
		return d.makeQueues(ctx, before.Name)
	}
	before.Revision = gone.Revision
	_, err := d.establish(ctx, before)
	return err
}

// deleteQueues deletes the consumers of a tenant, and what waits for them.
func (d *Declarations) deleteQueues(ctx context.Context, queues []QueueConsumer, force bool) (lost uint64, deleted bool, err error) {
	js := d.conn.JetStream
	for _, q := range queues {
		err := d.conn.Do(ctx, "."+q.Stream, func(ctx context.Context) error {
			if force {
				n, err := purgeSubject(ctx, js, q, true)
				if lost += n; err != nil {
					return err
				}
			}
			err := js.DeleteConsumer(ctx, q.Stream, q.Config.Durable)
			if errors.Is(err, jetstream.ErrConsumerNotFound) {
				return nil
			}
			deleted = deleted || err == nil
			return err
		})
		if err != nil {
			return lost, deleted, d.wrap(err)
		}
	}
	return lost, deleted, nil
}

// purgeSubject deletes what a queue has, unless it is only to be counted, and returns how
// much that was.
func purgeSubject(ctx context.Context, js jetstream.JetStream, q QueueConsumer, really bool) (n uint64, err error) {
	stream, err := js.Stream(ctx, q.Stream)
	if err != nil {
		return 0, err
	}
	info, err := stream.Info(ctx, jetstream.WithSubjectFilter(q.Config.FilterSubject))
	if err != nil {
		return 0, err
	}
	if n = info.State.Subjects[q.Config.FilterSubject]; n == 0 || !really {
		return n, nil
	}
	return n, stream.Purge(ctx, jetstream.WithPurgeSubject(q.Config.FilterSubject))
}

// InUse counts a tenant's requests in its two queues. Errors: ErrBadTenant, those of
// [Conn.Do].
func (d *Declarations) InUse(ctx context.Context, name string) (waiting, inFlight uint64, err error) {
	if err := checkName(name); err != nil {
		return 0, 0, err
	}
	for _, q := range d.topology.Queues(name) {
		depth, err := d.conn.DepthOf(ctx, q.Stream, q.Config.Durable)
		switch {
		case errors.Is(err, jetstream.ErrConsumerNotFound), errors.Is(err, jetstream.ErrStreamNotFound):
			continue
		case err != nil:
			return 0, 0, fmt.Errorf("consumer %s of %s: %w", q.Config.Durable, q.Stream, err)
		}
		waiting, inFlight = waiting+depth.Waiting, inFlight+depth.InFlight
	}
	return waiting, inFlight, nil
}

// Depths returns how full the queues of all tenants are, by the names of their consumers.
// Errors: those of [Conn.Do].
func (d *Declarations) Depths(ctx context.Context) (map[string]Depth, error) {
	return d.conn.Depths(ctx, d.names.RequestsStream())
}

// Lanes returns the depths of a tenant's two queues, interactive before batch; none for
// one that is not there.
func (d *Declarations) Lanes(name string, depths map[string]Depth) (interactive, slow *Depth) {
	find := func(lane events.Lane) *Depth {
		depth, ok := depths[consumerName(name, lane)]
		if !ok {
			return nil
		}
		return &depth
	}
	return find(events.LaneInteractive), find(events.LaneBatch)
}

// QueueNames are the consumers of the requests among those of the stream: of all tenants,
// or of one.
func (d *Declarations) QueueNames(depths map[string]Depth, only string) (names []string) {
	for name := range depths {
		tenant, _, ok := QueueOf(name)
		if ok && (only == "" || tenant == only) {
			names = append(names, name)
		}
	}
	slices.Sort(names)
	return names
}
