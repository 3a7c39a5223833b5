package tenant

import (
	"maps"
	"slices"
	"strings"
	"sync"
)

// Registry is what this process knows of the declared tenants. It is safe for concurrent
// use. [NewRegistry] makes it.
type Registry struct {
	mu      sync.RWMutex
	all     map[string]Tenant
	changed []func()
}

// NewRegistry returns one in which no tenant is declared.
func NewRegistry() *Registry { return &Registry{all: map[string]Tenant{}} }

// Of returns what is declared of a tenant; [Undeclared] if nothing is.
func (r *Registry) Of(name string) Tenant {
	r.mu.RLock()
	defer r.mu.RUnlock()
	if t, ok := r.all[name]; ok {
		return t
	}
	return Undeclared(name)
}

// Has reports whether a tenant is declared.
func (r *Registry) Has(name string) bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	_, ok := r.all[name]
	return ok
}

// Declared returns all that are declared, by name.
func (r *Registry) Declared() []Tenant {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return slices.SortedFunc(maps.Values(r.all), func(a, b Tenant) int { return strings.Compare(a.Name, b.Name) })
}

// Any reports whether any tenant is declared.
func (r *Registry) Any() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	return len(r.all) > 0
}

// Isolated reports whether any tenant is isolated.
func (r *Registry) Isolated() bool {
	r.mu.RLock()
	defer r.mu.RUnlock()
	for _, t := range r.all {
		if t.Isolated {
			return true
		}
	}
	return false
}

// Replace takes up what is declared now, and tells those who asked for it.
func (r *Registry) Replace(all []Tenant) {
	r.mu.Lock()
	r.all = make(map[string]Tenant, len(all))
	for _, t := range all {
		r.all[t.Name] = t
	}
	tell := slices.Clone(r.changed)
	r.mu.Unlock()
	for _, changed := range tell {
		changed()
	}
}

// OnChange has a function called after each change, one at a time. It must not block.
func (r *Registry) OnChange(changed func()) {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.changed = append(r.changed, changed)
}
