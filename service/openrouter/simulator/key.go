package simulator

import (
	"net/http"
	"time"
)

// KeySettings are the limits of one API key. The zero value has none.
type KeySettings struct {
	// Limit is what the key may spend in USD; nil is any amount. A key that has spent it is refused with a 403.
	Limit *float64
	// Reset is the period of the limit: daily, weekly, monthly; empty is never. It is only shown: nothing is reset.
	Reset string
	// Spent is what was spent before; what calls cost is added.
	Spent float64
	// ExpiresAt ends the key: from then on it is refused with a 401. Zero is never.
	ExpiresAt time.Time
}

// SetKey sets the limits of a key, from now on.
func (s *Simulator) SetKey(key string, settings KeySettings) {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	if s.control.keys == nil {
		s.control.keys = make(map[string]KeySettings)
	}
	s.control.keys[key] = settings
}

// keySettings returns the limits of a key and what it has spent.
func (s *Simulator) keySettings(key string) (settings KeySettings, spent float64) {
	s.control.mu.Lock()
	settings = s.control.keys[key]
	s.control.mu.Unlock()
	return settings, settings.Spent + s.ledger.spentBy(key)
}

// expired reports whether a key has ended.
func (s *Simulator) expired(key string) bool {
	settings, _ := s.keySettings(key)
	return !settings.ExpiresAt.IsZero() && !time.Now().Before(settings.ExpiresAt)
}

// overLimit reports whether a key has spent its limit.
func (s *Simulator) overLimit(key string) bool {
	settings, spent := s.keySettings(key)
	return settings.Limit != nil && spent >= *settings.Limit
}

// key serves /key: what the key that asks may spend, has spent, and when it ends.
func (s *Simulator) key(w http.ResponseWriter, r *http.Request) {
	key := bearer(r)
	management := s.config.ManagementKey != "" && key == s.config.ManagementKey
	if why := s.authenticate(key); why != nil && !management {
		sendError(w, why.status, missingHeader(*why))
		return
	}
	settings, spent := s.keySettings(key)
	data := map[string]any{
		"label": label(key), "limit": nil, "limit_remaining": nil, "limit_reset": nil, "include_byok_in_limit": false,
		"usage": spent, "usage_daily": spent, "usage_weekly": spent, "usage_monthly": spent,
		"byok_usage": 0, "byok_usage_daily": 0, "byok_usage_weekly": 0, "byok_usage_monthly": 0,
		"is_free_tier": false, "is_management_key": management, "is_provisioning_key": management,
		"creator_user_id": userID, "expires_at": nil,
		"rate_limit": map[string]any{
			"requests": -1, "interval": "10s", "note": "This field is deprecated and safe to ignore.",
		},
	}
	if settings.Limit != nil {
		data["limit"], data["limit_remaining"] = *settings.Limit, *settings.Limit-spent
	}
	if settings.Reset != "" {
		data["limit_reset"] = settings.Reset
	}
	if !settings.ExpiresAt.IsZero() {
		data["expires_at"] = settings.ExpiresAt.UTC().Format(time.RFC3339)
	}
	send(w, http.StatusOK, map[string]any{"data": data})
}
