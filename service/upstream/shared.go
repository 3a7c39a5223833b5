package upstream

import (
	"cmp"
	"context"
	"crypto/sha256"
	"encoding/hex"
	"strings"
	"sync"
	"sync/atomic"
	"time"

	"github.com/failsafe-go/failsafe-go"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/limits"
	"gemini-client/service/tenant"
	"gemini-client/telemetry"
)

// What a limit is of, as it is named in subjects, metrics and logs.
const (
	limitTenant = "tenant"
	limitModel  = "model"
	limitKey    = "key"

	unitRequests = "requests"
	unitTokens   = "tokens"
)

// maxLimiters bounds what is kept of limits. Requesters name the models.
const maxLimiters = 1000

// Sharing is what limits are counted with that hold for all workers together.
type Sharing struct {
	Counter limits.Counter
	Offset  func(context.Context) (time.Duration, error) // how far the server's clock is ahead
	Names   events.Names
	Tenants *tenant.Registry
}

// shared are the limits that hold for all workers.
type shared struct {
	group   *limits.Group
	names   events.Names
	tenants *tenant.Registry
	config  config.OpenRouter
	ours    bool // the settings have limits
	policy  failsafe.Executor[answer]
	tokens  atomic.Int64 // that a call is estimated at, on average

	mu  sync.RWMutex
	all map[limitName]*limits.Limiter
}

type limitName struct{ kind, of, unit string }

// Share has the limits of tenants, models and, by KEYS_LIMIT_SCOPE, keys hold for all
// workers together. It is called before the first Answer, and starts nothing.
func (u *Caller) Share(s Sharing) {
	u.shared = newShared(u.config, s, u.tel)
	if u.config.KeysShared() {
		u.keys.share(u.shared)
	}
}

func newShared(c config.OpenRouter, s Sharing, tel *telemetry.Telemetry) *shared {
	return &shared{
		group: limits.NewGroup(limits.Config{
			Counter: s.Counter, Offset: s.Offset, Log: tel.Logger, Waited: tel.Instruments.LimitWaited, Unanswered: tel.Instruments.LimitUnanswered,
		}),
		names: s.Names, tenants: s.Tenants, config: c, all: map[limitName]*limits.Limiter{},
		ours:   c.CountsLimits(),
		policy: failsafe.With[answer](limits.NewPolicy[answer](askOf)),
	}
}

// some reports whether there is a limit for anybody.
func (s *shared) some() bool { return s.ours || s.tenants.Any() }

// close ends what is under way. A nil shared has nothing.
func (s *shared) close() {
	if s != nil {
		s.group.Close()
	}
}

// share has the keys, and those to come, be limited for all workers together.
func (k *keys) share(s *shared) {
	k.mu.Lock()
	defer k.mu.Unlock()
	k.newKey = func(secret string) *apiKey { return &apiKey{secret: secret, shared: s.ofKey(secret)} }
	for _, key := range k.all {
		key.turns, key.shared = nil, s.ofKey(key.secret)
	}
}

// ofKey are the limits of a key. Its counters are named by a hash of it.
func (s *shared) ofKey(secret string) []limits.Want {
	hash := sha256.Sum256([]byte(secret))
	name := hex.EncodeToString(hash[:6])
	return s.limit(nil, limitKey, name, rates{int64(s.config.KeysMaxPerMinute), int64(s.config.KeysMaxTokensPerMinute)})
}

// rates are limits a minute; 0: none.
type rates struct{ requests, tokens int64 }

// limit adds what a call takes of a limit: itself, and a token for each of its tokens.
func (s *shared) limit(wants []limits.Want, kind, of string, r rates) []limits.Want {
	if r.requests > 0 {
		wants = append(wants, limits.Want{Limiter: s.limiter(limitName{kind, of, unitRequests}, r.requests), Units: 1})
	}
	if r.tokens > 0 {
		wants = append(wants, limits.Want{Limiter: s.limiter(limitName{kind, of, unitTokens}, r.tokens), Units: 1})
	}
	return wants
}

// limiter returns the limiter of that name, with the limit that holds now.
func (s *shared) limiter(name limitName, perMinute int64) *limits.Limiter {
	s.mu.RLock()
	l := s.all[name]
	s.mu.RUnlock()
	if l == nil {
		l = s.newLimiter(name, perMinute)
	}
	if l.Rate() != perMinute {
		l.SetRate(perMinute)
	}
	return l
}

func (s *shared) newLimiter(name limitName, perMinute int64) *limits.Limiter {
	s.mu.Lock()
	defer s.mu.Unlock()
	if l := s.all[name]; l != nil {
		return l
	}
	if len(s.all) >= maxLimiters {
		for name, l := range s.all {
			if name.kind != limitKey && l.Idle() { // what it counted is in the counters
				delete(s.all, name)
			}
		}
	}
	l := s.group.New(limits.Name{Kind: name.kind, Of: name.of, Unit: name.unit, Counter: s.names.Limit(name.kind, name.of, name.unit)}, perMinute)
	s.all[name] = l
	return l
}

// ofTenant are the limits of a tenant; "" is the default one.
func (s *shared) ofTenant(wants []limits.Want, name string) []limits.Want {
	if !s.tenants.Any() {
		return wants
	}
	if name == "" {
		name = events.DefaultTenant
	}
	t := s.tenants.Of(name)
	return s.limit(wants, limitTenant, name, rates{int64(t.RequestsPerMinute), int64(t.TokensPerMinute)})
}

// ofModel are the limits of a model, however it is called: with a date, by an alias, or
// with a suffix that chooses a provider. A limit of a date's own is for that date.
func (s *shared) ofModel(wants []limits.Want, name string) []limits.Want {
	dated := cmp.Or(strings.TrimPrefix(listedName(name), "~"), name)
	name = undated(dated)
	most := func(l config.ModelLimits) int64 { return cmp.Or(l.Of(name), l.Of(dated)) }
	return s.limit(wants, limitModel, name, rates{most(s.config.ModelsMaxPerMinute), most(s.config.ModelsMaxTokensPerMinute)})
}
