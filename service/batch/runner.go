package batch

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"encoding/json"
	"io"
	"sync"
	"time"

	"gemini-client/events"
	"gemini-client/service/upstream"
	"gemini-client/telemetry"
)

// How long things last at most.
const (
	// Longest is that of a batch: OpenRouter gives models of Google Vertex 96 hours.
	Longest = 100 * time.Hour
	// RequestLongest is how long a request waits for a batch and its answer: while it is
	// collected (BATCH_MAX_WAIT is a day at most) and submitted, and while the batch runs.
	RequestLongest = Longest + submitFor + 24*time.Hour

	submitFor = 24 * time.Hour // how long a job that cannot be submitted waits for it
)

const (
	refusedFor  = time.Hour        // how long a model is not batched whose batch was refused
	clockSkew   = 10 * time.Minute // between OpenRouter and us
	lookUnit    = time.Minute      // the shortest time between two looks at a job, unless BATCH_MAX_WAIT is short
	lookGrowth  = 10               // the longest, in units
	looksInVain = 2                // for a batch that may have been submitted, before it is submitted again
	goneLooks   = 12               // at a batch that OpenRouter does not know, before it is given up
	roundsMost  = 20               // of answering, for requests that somebody else has in hand
	knownMost   = 1000             // groups and models that a process remembers: requesters name them
)

// Runner looks after groups and jobs when their ticks come. New makes it. It is safe for
// concurrent use, one tick of a name at a time.
type Runner struct {
	store    Store
	api      API
	requests Requests
	maxWait  time.Duration
	unit     time.Duration
	tel      *telemetry.Telemetry

	mu      sync.Mutex
	waiting map[string]amount    // enrolled here since the group's tick was set to now
	refused map[string]time.Time // models whose batch OpenRouter refused
	revived time.Time            // when lost ticks were last made up for
}

type amount struct {
	items int
	bytes int64
}

// New returns a runner that collects requests for as long as maxWait; 0: no longer than
// what is there already.
func New(store Store, api API, requests Requests, maxWait time.Duration, tel *telemetry.Telemetry) *Runner {
	unit := lookUnit
	if maxWait > 0 {
		unit = min(unit, maxWait/lookGrowth)
	}
	return &Runner{
		store: store, api: api, requests: requests, maxWait: maxWait, unit: unit, tel: tel,
		waiting: map[string]amount{}, refused: map[string]time.Time{}, revived: time.Now(),
	}
}

// Group names those requests that one batch may hold together: of one model, one choice
// of providers and one response format.
func Group(r events.Request) string {
	hash := sha256.New()
	for _, part := range [][]byte{[]byte(r.Model), compact(r.OpenRouter["provider"]), compact(r.OpenRouter["response_format"])} {
		_, _ = hash.Write(part) // has no error
		_, _ = io.WriteString(hash, "\x00")
	}
	return hex.EncodeToString(hash.Sum(nil)[:8])
}

// compact is JSON without the spaces that make no difference.
func compact(raw json.RawMessage) []byte {
	var text bytes.Buffer
	if json.Compact(&text, raw) != nil {
		return raw
	}
	return text.Bytes()
}

// Refused reports whether OpenRouter has refused a batch of a model within the last
// hour.
func (r *Runner) Refused(model string) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	until, there := r.refused[model]
	if there && time.Now().After(until) {
		delete(r.refused, model)
		return false
	}
	return there
}

// FirstTick is when the group of a request that is enrolled now is looked after.
func (r *Runner) FirstTick() time.Time { return time.Now().Add(r.maxWait) }

// Enrolled counts a request that waits. A quarter of what a batch may hold is worth a
// look whether it is full, which is an order of magnitude fewer reads than requests.
func (r *Runner) Enrolled(ctx context.Context, group string, bytes int) {
	r.mu.Lock()
	a := r.waiting[group]
	begins := a.items == 0
	a.items, a.bytes = a.items+1, a.bytes+int64(bytes)
	look := a.items >= upstream.BatchMaxItems/4 || a.bytes >= maxBytes/4
	if look {
		delete(r.waiting, group)
	} else {
		forgetting(r.waiting)[group] = a // a group that is forgotten is collected at its time
	}
	r.mu.Unlock()
	if begins {
		r.known(ctx, group)
	}
	if look {
		if err := r.store.TickNow(ctx, group); err != nil {
			r.tel.Logger.DebugContext(ctx, "a group that may be full is collected at its time", "group", group, "error", err)
		}
	}
}

// forgetting empties a map that has become too large, and returns it.
func forgetting[V any](known map[string]V) map[string]V {
	if len(known) >= knownMost {
		clear(known)
	}
	return known
}

// Tick looks after a group or a job. It returns when to look again, or the zero time. What
// it could not do comes again by the same tick.
func (r *Runner) Tick(ctx context.Context, name string) (next time.Time, err error) {
	if r.reviving() {
		if err := r.Revive(ctx); err != nil {
			r.tel.Logger.DebugContext(ctx, "ticks that were lost are made up for later", "error", err)
		}
	}
	if !isJob(name) {
		return r.collect(ctx, name)
	}
	j, err := r.job(ctx, name)
	if err != nil || j == nil {
		return next, err
	}
	switch j.State {
	case submitting:
		return r.submit(ctx, j)
	case submitted:
		return r.watch(ctx, j)
	case ended:
	}
	return next, nil
}

// again is when a job is looked at again that has waited since a time: seldom, if that
// is long ago. It is no sooner than OpenRouter asks for.
func (r *Runner) again(since time.Time, asked time.Duration) time.Time {
	wait := min(max(time.Since(since)/4, r.unit), lookGrowth*r.unit)
	return time.Now().Add(max(wait, asked))
}
