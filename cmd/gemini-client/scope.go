package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/tenant"
)

// tenant returns what is declared of a tenant, as the bucket of the declared ones has it
// now; [tenant.Undeclared] if nothing is, or there is no such bucket.
func (a *adminClient) tenant(ctx context.Context, name string) (tenant.Tenant, error) {
	t := tenant.Undeclared(name)
	if !events.ValidTenant(name) {
		return t, fmt.Errorf("tenant %q: want 1 to 64 characters of A-Z, a-z, 0-9, _ and -", name)
	}
	bucket := a.names.TenantsBucket()
	s, err := a.stream(ctx, "KV_"+bucket)
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		return t, nil
	}
	if err != nil {
		return t, err
	}
	m, err := a.last(ctx, s, "$KV."+bucket+"."+name)
	if m == nil || err != nil || len(m.Data) == 0 { // the latter: it was removed
		return t, err
	}
	if err := json.Unmarshal(m.Data, &t); err != nil {
		return t, fmt.Errorf("what is declared of tenant %s cannot be read: %w", name, err)
	}
	return t, nil
}

// scope has what follows be about the requests of a tenant: an isolated one has names of
// its own. "" leaves the names as they are.
func (a *adminClient) scope(ctx context.Context, name string) error {
	if name == "" {
		return nil
	}
	t, err := a.tenant(ctx, name)
	if err != nil {
		return err
	}
	if a.tenantOnly = name; t.Isolated {
		a.names = a.names.Of(name)
	}
	return nil
}

// callbacks are those on which a request of the scope may have been answered.
func (a *adminClient) callbacks() []string {
	if a.names.ResponseQueue != a.config.ResponseQueue {
		return []string{a.names.ResponseQueue}
	}
	return a.config.Callbacks()
}

// read returns a message's request as the service would decode it for its tenant.
func (a *adminClient) read(ctx context.Context, header nats.Header, body []byte, at time.Time) (events.Request, error) {
	name, _ := events.TenantOf(header)
	t, err := a.tenant(ctx, name)
	if err != nil {
		return events.Request{}, err
	}
	rules := a.config.Rules(0)
	rules.Isolated = func(name string) bool {
		if !events.ValidTenant(name) {
			return false
		}
		other, failed := a.tenant(ctx, name)
		err = cmp.Or(err, failed)
		return other.Isolated
	}
	isolated, known := events.IsolatedOf(header)
	if !known {
		isolated = t.Isolated
	}
	r, broken := rules.Of(name, isolated && name != events.DefaultTenant, t.Models).Decode(body, at)
	return r, cmp.Or(err, broken)
}
