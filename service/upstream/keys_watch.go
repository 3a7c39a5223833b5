package upstream

import (
	"context"
	"errors"
	"net/http"
	"time"

	"gemini-client/service/openrouter"
)

const (
	keyCheckInterval = 10 * time.Minute // between two looks at the keys, and up to a tenth more
	keyCheckTimeout  = 10 * time.Second // of the question for one key
	keyExpiryWarning = 7 * 24 * time.Hour
	keyWarnInterval  = 24 * time.Hour
)

// watchKeys asks OpenRouter about each key now and then, one after the other: at
// the start, when the keys have changed, and else on a slow timer. It returns when
// ctx ends, or if the server knows no such question: a gateway in OpenRouter's place.
func (u *Caller) watchKeys(ctx context.Context) {
	timer := time.NewTimer(0)
	defer timer.Stop()
	asked := false // with an answer, of any key
	for {
		onlyNew := false
		select {
		case <-ctx.Done():
			return
		case <-u.keys.changed:
			onlyNew = true
		case <-timer.C:
			timer.Reset(WithJitter(keyCheckInterval))
		}
		for _, key := range u.keys.toAsk(onlyNew) {
			err := u.askKey(ctx, key)
			var api *openrouter.Error
			switch {
			case err == nil:
				asked = true
			case ctx.Err() != nil:
				return
			case !asked && errors.As(err, &api) && api.Status == http.StatusNotFound:
				u.tel.Logger.DebugContext(ctx, "the server tells nothing of the keys, and is not asked again", "error", err)
				return
			default:
				u.tel.Logger.DebugContext(ctx, "OpenRouter did not tell of a key", "key", "…"+key.end(), "error", err)
			}
		}
	}
}

// askKey asks about one key, and warns once a day of one that is about to end.
func (u *Caller) askKey(ctx context.Context, key *apiKey) error {
	asking, cancel := context.WithTimeout(ctx, keyCheckTimeout)
	defer cancel()
	info, err := u.client.Key(asking, key.secret)
	if err != nil {
		return err
	}
	u.keys.learn(key, info)
	if now := time.Now(); u.keys.warnsOf(key, now) {
		line := "an API key is about to expire"
		if !now.Before(info.ExpiresAt) {
			line = "an API key has expired"
		}
		u.tel.Logger.WarnContext(ctx, line, "key", "…"+key.end(), "on", info.ExpiresAt.Format(time.RFC3339),
			"way_out", "make a new key (https://openrouter.ai/settings/keys), write it into OPENROUTER_API_KEYS_FILE, then take this one out")
	}
	return nil
}

// toAsk returns the keys of the pool, or those that nothing is known of.
func (k *keys) toAsk(onlyNew bool) []*apiKey {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []*apiKey
	for _, key := range k.all {
		if !onlyNew || !key.budget.known {
			list = append(list, key)
		}
	}
	return list
}

// warnsOf reports whether it has to be said that a key ends, and notes that it is.
func (k *keys) warnsOf(key *apiKey, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	b := &key.budget
	if b.ExpiresAt.IsZero() || b.ExpiresAt.Sub(now) > keyExpiryWarning || !b.warned.IsZero() && now.Sub(b.warned) < keyWarnInterval {
		return false
	}
	b.warned = now
	return true
}
