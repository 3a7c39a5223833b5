package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/bus"
)

// queueName is a queue: its stream, its subject, and its consumer.
type queueName struct{ stream, subject, consumer string }

// findInQueues searches the retries, the requests, and those of the lanes and tenants that
// have any.
func (a *adminClient) findInQueues(ctx context.Context, w *requestState, most int) error {
	names := a.config.Names() // an isolated tenant's have no queues but its own
	requests := names.RequestsStream()
	queues := []queueName{{names.RetriesStream(), names.Retries(), bus.Durable}, {requests, names.RequestQueue, bus.Durable}}
	depths, err := a.conn.Depths(ctx, requests)
	var errs []error
	if err != nil {
		errs = append(errs, fmt.Errorf("consumers of %s: %w", requests, err))
	}
	for _, lane := range lanesOf(depths) {
		if lane.Waiting+lane.InFlight > 0 {
			queues = append(queues, queueName{requests, names.Requests(lane.Tenant, lane.Lane), lane.consumer})
		}
	}
	for _, q := range queues {
		errs = append(errs, a.findQueued(ctx, w, q, most))
	}
	return errors.Join(errs...)
}

// findQueued searches a queue from its beginning, because messages are not stored
// under their request_id.
func (a *adminClient) findQueued(ctx context.Context, w *requestState, q queueName, most int) error {
	s, err := a.stream(ctx, q.stream)
	if err != nil {
		return err
	}
	depth, err := a.depth(ctx, q.stream, q.consumer)
	if err != nil {
		return err
	}
	rules, waiting := a.config.Rules(0), 0
	for sequence, n := uint64(1), 0; n < most; n++ {
		m, err := a.next(ctx, s, sequence, q.subject)
		if m == nil || err != nil {
			return err
		}
		sequence = m.Sequence + 1
		if of := a.tenantOf(m); a.isOf(w, m, of, rules) {
			w.Tenant = cmp.Or(w.Tenant, of)
			w.Queued = append(w.Queued, messageState{Message: fmt.Sprintf("%s/%d", q.stream, m.Sequence), At: m.Time.UTC(), Delivered: m.Sequence <= depth.Delivered, Ahead: waiting})
		}
		if m.Sequence > depth.Delivered {
			waiting++
		}
	}
	if most > 0 && uint64(most) < depth.Waiting+depth.InFlight {
		return fmt.Errorf("only the first %d messages of %s on %s were searched (--scan)", most, q.stream, q.subject)
	}
	return nil
}

// isOf reports whether a message of a tenant is of the request.
func (a *adminClient) isOf(w *requestState, m *jetstream.RawStreamMsg, tenant string, rules events.Rules) bool {
	if !bytes.Contains(bytes.ToLower(m.Data), []byte(w.ID)) || a.tenantOnly != "" && tenant != a.tenantOnly {
		return false
	}
	r, _ := rules.Decode(m.Data, m.Time)
	return events.CanonicalID(r.ID) == w.ID
}

// tenantOf returns whose message it is in a queue.
func (a *adminClient) tenantOf(m *jetstream.RawStreamMsg) string {
	tenant, _, ok := a.config.Names().ParseRequests(m.Subject)
	if !ok {
		tenant, _ = events.TenantOf(m.Header)
	}
	return tenant
}
