package upstream

import (
	"context"
	"log/slog"
	"slices"
	"time"

	"gemini-client/service/config"
)

// keysFileInterval is how often the file with the keys is read.
const keysFileInterval = 2 * time.Second

// replace takes up a new list of keys. What is known of the ones that stay
// stays known; calls in flight with the ones that go are not disturbed.
func (k *keys) replace(secrets []string) {
	k.mu.Lock()
	defer k.mu.Unlock()
	known := map[string]*apiKey{}
	for _, key := range k.all {
		known[key.secret] = key
	}
	k.all = nil
	for _, secret := range secrets {
		key := known[secret]
		if key == nil {
			key = k.newKey(secret)
		}
		key.forgetLacks()
		k.all = append(k.all, key)
	}
	select {
	case k.changed <- struct{}{}:
	default: // it is known already
	}
}

func (k *keys) secrets() []string {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []string
	for _, key := range k.all {
		list = append(list, key.secret)
	}
	return list
}

// follow takes up changes of the file with the keys until ctx ends. A file that
// cannot be taken up changes nothing: it may be half written, and the keys in use
// may still be good.
func (k *keys) follow(ctx context.Context, c config.OpenRouter, log *slog.Logger) {
	tick := time.NewTicker(keysFileInterval)
	defer tick.Stop()
	reported := ""
	for {
		select {
		case <-ctx.Done():
			return
		case <-tick.C:
		}
		why := ""
		secrets, err := c.CurrentKeys()
		if err != nil {
			why = err.Error()
		}
		switch {
		case why != "" && why != reported:
			log.ErrorContext(ctx, "OPENROUTER_API_KEYS_FILE is not taken up, the keys before it stay in use", "error", why)
		case why == "" && !slices.Equal(secrets, k.secrets()):
			k.replace(secrets)
			log.InfoContext(ctx, "OPENROUTER_API_KEYS_FILE has changed and was taken up", "keys", len(secrets))
		}
		reported = why
	}
}
