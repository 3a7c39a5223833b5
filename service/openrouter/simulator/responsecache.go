package simulator

import (
	"bytes"
	"crypto/sha256"
	"encoding/json"
	"fmt"
	"net/http"
	"strconv"
	"sync"
	"time"
)

// Of X-OpenRouter-Cache-TTL, in seconds.
const (
	defaultTTL = 300
	maxTTL     = 86400
)

// responseCache holds finished answers, each for its time.
type responseCache struct {
	mu      sync.Mutex
	entries map[string]remembered
}

// remembered is an answer in the cache.
type remembered struct {
	gen generation
	at  time.Time
	ttl time.Duration
}

// lookup is what one call wants of the cache, and what came of it.
type lookup struct {
	key   string // empty: the cache was not asked for
	ttl   time.Duration
	kept  bool // the answer may be remembered
	entry *remembered
}

// lookup reads the headers of the call. The key is the API key, the model, the endpoint, whether it streams and the body:
// the order of JSON keys counts, spaces and other headers do not. A TTL that is none counts as the default.
func (e *exchange) lookup() lookup {
	header := e.request.Header
	var body bytes.Buffer
	if header.Get("X-OpenRouter-Cache") != "true" || json.Compact(&body, e.call.Body) != nil {
		return lookup{}
	}
	seconds, err := strconv.Atoi(header.Get("X-OpenRouter-Cache-TTL"))
	if err != nil || seconds < 1 || seconds > maxTTL {
		seconds = defaultTTL
	}
	sum := sha256.Sum256(body.Bytes())
	l := lookup{ttl: time.Duration(seconds) * time.Second, kept: true}
	l.key = fmt.Sprintf("%s %s chat/completions %v %x", e.call.Key, e.call.Model, e.call.Stream, sum)
	if header.Get("X-OpenRouter-Cache-Clear") == "true" {
		e.sim.answers.forget(l.key)
	}
	return l
}

func (r *responseCache) forget(key string) {
	r.mu.Lock()
	defer r.mu.Unlock()
	delete(r.entries, key)
}

// recall answers from the cache, under a new id, and reports whether it can.
func (e *exchange) recall() bool {
	r := &e.sim.answers
	r.mu.Lock()
	defer r.mu.Unlock()
	found, there := r.entries[e.cache.key]
	now := time.Now()
	if !there || !now.Before(found.at.Add(found.ttl)) {
		return false
	}
	again := found.gen
	again.id, again.created, again.hit = newGenerationID(now), now.Unix(), true
	e.gen, e.cache.entry = &again, &found
	return true
}

// remember keeps an answer that was sent to its end. It is whatever a 200 brought, tool calls and an empty answer too (that an
// empty one is kept is inferred); an error inside it is not kept. Two calls at once are two answers.
func (e *exchange) remember() {
	if e.cache.key == "" || !e.cache.kept || e.gen.hit || e.gen.problem != nil {
		return
	}
	r := &e.sim.answers
	r.mu.Lock()
	defer r.mu.Unlock()
	r.entries[e.cache.key] = remembered{gen: *e.gen, at: time.Now(), ttl: e.cache.ttl}
}

// describe adds the headers of an answer: the TTL is what is left of it on a hit, all of it on a miss.
func (l lookup) describe(h http.Header) {
	switch {
	case l.key == "":
	case l.entry == nil:
		h.Set("X-OpenRouter-Cache-Status", "MISS")
		h.Set("X-OpenRouter-Cache-TTL", strconv.Itoa(int(l.ttl.Seconds())))
	default:
		age := time.Since(l.entry.at)
		h.Set("X-OpenRouter-Cache-Status", "HIT")
		h.Set("X-OpenRouter-Cache-Age", strconv.Itoa(int(age.Seconds())))
		h.Set("X-OpenRouter-Cache-TTL", strconv.Itoa(int((l.entry.ttl - age).Seconds())))
		h.Set("X-OpenRouter-Cache-Source-Id", l.entry.gen.id)
	}
}
