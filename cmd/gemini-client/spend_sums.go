package main

import (
	"cmp"
	"encoding/json"
	"maps"
	"math"
	"net/url"
	"slices"
	"strings"
	"time"

	"gemini-client/events"
	"gemini-client/service/bus"
)

// Bounds of what a result can tell: a body beyond them is none of the service's. And of
// what is kept of names, which come from outside.
const (
	resultTokens = 1e9 // of each kind
	resultUSD    = 1e6
	groupsKept   = 10_000 // what comes later is summed as others
	groupName    = 200    // bytes
)

// Names of groups that have none.
const (
	groupUnknown = "unknown"
	groupOthers  = "others"
)

// sums are what some results tell. A request counts once for each of its results: a replay
// that follows a failure makes one more.
type sums struct {
	Requests         int64   `json:"requests"`
	Failures         int64   `json:"failures"`
	PromptTokens     int64   `json:"prompt_tokens"`
	CompletionTokens int64   `json:"completion_tokens"`
	CachedTokens     int64   `json:"cached_tokens"` // of the prompt tokens
	Cost             float64 `json:"cost"`          // USD
	UnknownCost      int64   `json:"unknown_cost"`  // results of calls of which OpenRouter told no cost
}

func (s *sums) add(r *told) {
	s.Requests++
	if r.Status == events.StatusError {
		s.Failures++
	}
	if u := r.Usage; u != nil {
		s.PromptTokens += u.PromptTokens
		s.CompletionTokens += u.CompletionTokens
		s.CachedTokens += u.CachedTokens
	}
	switch {
	case r.Cost != nil:
		s.Cost = math.Round((s.Cost+*r.Cost)*1e12) / 1e12 // without binary rounding errors, as in a bill
	case r.Status == events.StatusSuccess || r.Attempts > 0 || r.RetryCount > 0:
		s.UnknownCost++
	}
}

// told is what a result tells of money, and of whose it is.
type told struct {
	Status events.Status `json:"status"`
	Model  string        `json:"model_used"` // empty in a failed one
	Usage  *struct {
		PromptTokens     int64 `json:"prompt_tokens"`
		CompletionTokens int64 `json:"completion_tokens"`
		CachedTokens     int64 `json:"cached_tokens"`
	} `json:"usage"`
	Cost       *float64 `json:"cost"`
	Attempts   int64    `json:"attempts"`
	RetryCount int64    `json:"retry_count"`

	callback, tenant, key string
	at                    time.Time // it was stored
}

// readTold reads a message of the results' stream. ok is false if it is no result that
// the service can have stored.
func readTold(w bus.Walked) (r told, ok bool) {
	callback, verdict, _, ok := events.ParseResult(w.Subject)
	if !ok || json.Unmarshal(w.Data, &r) != nil || !r.plausible(verdict) {
		return told{}, false
	}
	r.callback, r.at = callback, w.Time.UTC()
	r.tenant, _ = events.TenantOf(w.Header)
	r.key = w.Header.Get(events.HeaderKey)
	if decoded, err := url.PathUnescape(r.key); err == nil {
		r.key = decoded
	}
	return r, true
}

func (r *told) plausible(verdict string) bool {
	status := events.StatusError
	if verdict == events.VerdictCompleted {
		status = events.StatusSuccess
	}
	if r.Cost != nil && (*r.Cost < 0 || *r.Cost > resultUSD) || r.Status != status {
		return false
	}
	u := r.Usage
	return u == nil || !slices.ContainsFunc([]int64{u.PromptTokens, u.CompletionTokens, u.CachedTokens}, func(n int64) bool { return n < 0 || n > resultTokens })
}

// dimensions are what results can be grouped by.
var dimensions = map[string]func(*told) string{ //nolint:gochecknoglobals // a table, never changed
	"model":    func(r *told) string { return r.Model },
	"key":      func(r *told) string { return r.key },
	"callback": func(r *told) string { return r.callback },
	"tenant":   func(r *told) string { return r.tenant },
	"day":      func(r *told) string { return r.at.Format(time.DateOnly) },
	"hour":     func(r *told) string { return r.at.Format("2006-01-02T15:00Z") },
}

func dimensionNames() []string { return slices.Sorted(maps.Keys(dimensions)) }

// spending is the sum of all results since a time, and of groups of them.
type spending struct {
	Since      time.Time  `json:"since"`
	Until      time.Time  `json:"until"`
	OldestKept *time.Time `json:"oldest_kept"` // where older results of that time are gone; else null
	By         string     `json:"by"`          // empty: no groups
	Total      sums       `json:"total"`
	Groups     []group    `json:"groups"`
	Unreadable int64      `json:"unreadable"` // messages in the stream that are no results

	byName map[string]*sums
}

// group is the sum of the results that have something in common.
type group struct {
	Name string `json:"name"`
	sums
}

func newSpending(since, until time.Time, by string) *spending {
	return &spending{Since: since.UTC(), Until: until.UTC(), By: by, Groups: []group{}, byName: map[string]*sums{}}
}

// add adds a message of the stream.
func (s *spending) add(w bus.Walked) {
	r, ok := readTold(w)
	if !ok {
		s.Unreadable++
		return
	}
	s.Total.add(&r)
	if s.By != "" {
		s.group(cmp.Or(dimensions[s.By](&r), groupUnknown)).add(&r)
	}
}

// group returns the sum of a group.
func (s *spending) group(name string) *sums {
	if len(name) > groupName {
		name = strings.ToValidUTF8(name[:groupName], "")
	}
	if s.byName[name] == nil {
		if len(s.byName) >= groupsKept {
			name = groupOthers
		}
		if s.byName[name] == nil {
			s.byName[strings.Clone(name)] = &sums{}
		}
	}
	return s.byName[name]
}

// finish lists the groups: those of a time in its order, others by what they cost.
func (s *spending) finish() {
	for name, of := range s.byName {
		s.Groups = append(s.Groups, group{plain(name), *of})
	}
	slices.SortFunc(s.Groups, func(a, b group) int {
		if s.By != "day" && s.By != "hour" {
			if order := cmp.Compare(b.Cost, a.Cost); order != 0 {
				return order
			}
		}
		return cmp.Compare(a.Name, b.Name)
	})
}
