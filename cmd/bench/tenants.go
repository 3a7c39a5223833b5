package main

import (
	"context"
	"fmt"

	"github.com/nats-io/nats.go"
)

// tenantsMost is how many tenants can be declared.
const tenantsMost = 1000

// tenantRecords is where what is declared of tenants is stored: the key-value bucket
// GEMINI_TENANTS.
const tenantRecords = "$KV.GEMINI_TENANTS."

// tenantName is the name of tenant i.
func tenantName(i int) string { return fmt.Sprintf("t%03d", i) }

// tenantSubject is where a tenant's interactive requests are published.
func tenantSubject(i int) string { return requestSubject + "." + tenantName(i) }

// batchSubject is the default tenant's slow lane.
const batchSubject = requestSubject + ".default.batch"

// tenantsSuffix ends the name of a contender with so many tenants.
func tenantsSuffix(n int) string {
	if n == 1 {
		return ", 1 tenant"
	}
	return fmt.Sprintf(", %d tenants", n)
}

// declare declares a contender's tenants. `gemini-client tenants set` would be a process
// for each of them; the records alone and then one `provision` come to the same.
func (s *stage) declare(ctx context.Context, c contender) error {
	for i := range c.tenants {
		if _, err := s.js.PublishMsg(ctx, &nats.Msg{Subject: tenantRecords + tenantName(i), Data: []byte(`{"weight":1}`)}); err != nil {
			return err
		}
	}
	if c.tenants == 0 {
		return nil
	}
	if err := s.provision(ctx, c); err != nil {
		return err
	}
	return s.declared(ctx, c.tenants)
}

// declared checks that the last tenant's requests have a queue.
func (s *stage) declared(ctx context.Context, n int) error {
	if _, err := s.js.StreamNameBySubject(ctx, tenantSubject(n-1)); err != nil {
		return fmt.Errorf("provision has not made the queues of the tenants: %s: %w", tenantSubject(n-1), err)
	}
	return nil
}
