package simulator

import (
	"math"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"sync"
	"time"
)

// bearer returns the API key of a request, or nothing.
func bearer(r *http.Request) string {
	scheme, key, _ := strings.Cut(r.Header.Get("Authorization"), " ")
	if !strings.EqualFold(scheme, "Bearer") {
		return ""
	}
	return strings.TrimSpace(key)
}

// authenticate returns why a key may not call completions; nil if it may.
func (s *Simulator) authenticate(key string) *refused {
	switch {
	case key == "":
		return &refused{http.StatusUnauthorized, "authentication", "No auth credentials found"}
	case s.config.ManagementKey != "" && key == s.config.ManagementKey:
		return &refused{http.StatusForbidden, "permission_denied", "Management keys cannot call this endpoint"}
	case s.expired(key):
	case len(s.config.Keys) == 0 && strings.HasPrefix(key, "sk-or-"), slices.Contains(s.config.Keys, key):
		return nil
	}
	return &refused{http.StatusUnauthorized, "authentication", "User not found."}
}

// limiter counts the calls of each key in the current minute.
type limiter struct {
	limit   int
	mu      sync.Mutex
	windows map[string]*window
}

type window struct {
	minute time.Time
	calls  int
}

// check counts a call, or returns the 429 of a key whose calls of this minute are used up.
func (l *limiter) check(key string, now time.Time) (limited bool, answer reply) {
	if l.limit <= 0 {
		return false, reply{}
	}
	l.mu.Lock()
	defer l.mu.Unlock()
	minute := now.Truncate(time.Minute)
	w := l.windows[key]
	if w == nil || w.minute != minute {
		w = &window{minute: minute}
		l.windows[key] = w
	}
	if w.calls++; w.calls <= l.limit {
		return false, reply{}
	}
	return true, platformLimit("limit_rpm", l.limit, minute.Add(time.Minute), "openrouter_shared_capacity")
}

// credits serves /credits, for the management key alone.
func (s *Simulator) credits(w http.ResponseWriter, r *http.Request) {
	key := bearer(r)
	if s.config.ManagementKey == "" || key != s.config.ManagementKey {
		if why := s.authenticate(key); why != nil && why.status == http.StatusUnauthorized {
			sendError(w, why.status, missingHeader(*why))
			return
		}
		sendError(w, http.StatusForbidden, "Only management keys can perform this operation")
		return
	}
	send(w, http.StatusOK, map[string]any{"data": map[string]any{"total_credits": 100, "total_usage": s.Cost()}})
}

// generation serves /generation: 404 until GenerationDelay after the end of the generation.
func (s *Simulator) generation(w http.ResponseWriter, r *http.Request) {
	if why := s.authenticate(bearer(r)); why != nil {
		sendError(w, why.status, missingHeader(*why))
		return
	}
	id := r.URL.Query().Get("id")
	c, found := s.ledger.find(id)
	if !found || time.Now().Before(c.readyAt) {
		sendError(w, http.StatusNotFound, "Generation "+id+" not found")
		return
	}
	took := c.Ended.Sub(c.At).Milliseconds()
	send(w, http.StatusOK, map[string]any{"data": map[string]any{
		"id": id, "request_id": "req-" + strings.TrimPrefix(id, "gen-"), "upstream_id": nil, "api_type": "completions",
		"model": c.ModelUsed, "provider_name": providerName, "provider_responses": nil, "router": nil,
		"created_at": c.At.UTC().Format("2006-01-02T15:04:05.000000+00:00"), "streamed": c.Stream,
		"cancelled": c.Outcome == OutcomeCancelled, "finish_reason": c.FinishReason,
		"native_finish_reason": c.NativeFinishReason, "latency": took, "generation_time": took,
		"moderation_latency": nil, "tokens_prompt": c.PromptTokens, "tokens_completion": c.CompletionTokens,
		"native_tokens_prompt": c.PromptTokens, "native_tokens_completion": c.CompletionTokens,
		"native_tokens_reasoning": c.ReasoningTokens, "native_tokens_cached": c.CachedTokens,
		"native_tokens_completion_images": 0, "total_cost": c.Cost, "usage": c.Cost, "upstream_inference_cost": nil,
		"cache_discount": nil, "is_byok": false, "service_tier": reason(c.ServiceTier), "session_id": reason(c.SessionID), "external_user": reason(c.User),
		"data_region": "global",
	}})
}

// missingHeader returns the text that endpoints other than chat have for a request without a key.
func missingHeader(why refused) string {
	if why.message == "No auth credentials found" {
		return "Missing Authentication header"
	}
	return why.message
}

// label is how a key is shown: its beginning and its end.
func label(key string) string {
	if len(key) < 20 {
		return "sk-or-..."
	}
	return key[:12] + "..." + key[len(key)-3:]
}

// perToken turns a price for a million tokens into the catalogue's string.
func perToken(perMillion float64) string {
	picodollars := math.Round(perMillion * 1e6)
	return strings.TrimSuffix(strings.TrimRight(strconv.FormatFloat(picodollars/1e12, 'f', 12, 64), "0"), ".")
}
