package telemetry

import (
	"maps"
	"sync"
	"sync/atomic"

	"go.opentelemetry.io/otel/attribute"
	"go.opentelemetry.io/otel/metric"
)

// labels is a set of labels as the methods of instruments take it. OpenTelemetry
// sorts and hashes a set when it is made, which costs more than to count with it.
type labels struct {
	add    []metric.AddOption
	record []metric.RecordOption
}

func newLabels(attrs ...attribute.KeyValue) labels {
	set := metric.WithAttributes(attrs...)
	return labels{add: []metric.AddOption{set}, record: []metric.RecordOption{set}}
}

// maxCached bounds a cache. Labels come from closed lists and from the models and tenants,
// which are bounded too; whatever is beyond is made each time.
const maxCached = 4096

// cache keeps what has been made of a key. Reading it takes no lock, which several
// do for each request; the zero value is empty.
type cache[K comparable, V any] struct {
	mu   sync.Mutex // of writers
	kept atomic.Pointer[map[K]V]
}

// get returns what has been made of a key, or makes it. What made returns depends on
// the key alone.
func (c *cache[K, V]) get(key K, made func(K) V) V {
	if kept := c.kept.Load(); kept != nil {
		if v, there := (*kept)[key]; there {
			return v
		}
	}
	v := made(key)
	c.mu.Lock()
	defer c.mu.Unlock()
	larger := map[K]V{}
	if kept := c.kept.Load(); kept != nil {
		if len(*kept) >= maxCached {
			return v
		}
		larger = maps.Clone(*kept)
	}
	larger[key] = v
	c.kept.Store(&larger)
	return v
}
