package telemetry

import (
	"cmp"
	"context"
	"maps"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
)

// Bounds of the tenant label. The first tenants have one of their own, all others share
// one. Only those come that somebody has declared, so nobody takes places with invented names.
const (
	maxTenants    = 100
	maxSeries     = 20_000 // of one metric, where OpenTelemetry would begin to fold them at 2,000
	otherTenants  = "other"
	defaultTenant = "default" // of what is counted before a tenant is known
)

// tenantSet keeps the first names it meets and folds the rest into one. Reading takes no
// lock, as in modelSet.
type tenantSet struct {
	known atomic.Pointer[map[string]bool]
	mu    sync.Mutex // of writers
}

func newTenantSet() *tenantSet {
	s := &tenantSet{}
	s.known.Store(&map[string]bool{defaultTenant: true})
	return s
}

// fold returns the label for a tenant.
func (s *tenantSet) fold(tenant string) string {
	tenant = cmp.Or(tenant, defaultTenant)
	if (*s.known.Load())[tenant] {
		return tenant
	}
	s.mu.Lock()
	defer s.mu.Unlock()
	known := *s.known.Load()
	switch {
	case known[tenant]:
	case len(known) >= maxTenants || !fitsLabel(tenant):
		return otherTenants
	default:
		known = maps.Clone(known)
		known[tenant] = true
		s.known.Store(&known)
	}
	return tenant
}

// Charged adds what an attempt cost its tenant, in USD.
func (i *Instruments) Charged(ctx context.Context, tenant, model string, cost float64) {
	if cost >= 0 { // a counter can only grow
		key := chargedKey{i.models.fold(model), i.tenants.fold(tenant)}
		i.cost.Add(ctx, cost, i.cached.charged.get(key, chargedKey.labels).add...)
	}
}

func (k chargedKey) labels() labels {
	return newLabels(append(optional(keyRequestModel, k.model), labelTenant.String(k.tenant))...)
}

// tokenLabels are the labels of a tenant's tokens.
type tokenLabels struct{ input, output labels }

// TokensUsed adds the tokens of an attempt for a tenant.
func (i *Instruments) TokensUsed(ctx context.Context, tenant string, input, output int) {
	l := i.cached.used.get(i.tenants.fold(tenant), func(tenant string) tokenLabels {
		of := func(kind string) labels { return newLabels(labelTenant.String(tenant), labelType.String(kind)) }
		return tokenLabels{input: of(typeInput), output: of(typeOutput)}
	})
	for _, one := range []struct {
		n int
		l labels
	}{{input, l.input}, {output, l.output}} {
		if one.n > 0 { // a counter can only grow
			i.tokens.Add(ctx, int64(one.n), one.l.add...)
		}
	}
}

// tenantOf is the attribute of a span.
func tenantOf(tenant string) []attribute.KeyValue { return optional(keyTenant, tenant) }
