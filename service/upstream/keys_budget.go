package upstream

import (
	"bytes"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// keyBudget is what is known of what a key may spend and for how long: what
// OpenRouter said of it when it was last asked, less what its calls have cost
// since. It makes no key rest, since it may be some minutes old: a key that cannot
// pay is passed over while another can be used, and OpenRouter has the last word.
type keyBudget struct {
	openrouter.KeyInfo
	known  bool
	spent  float64   // since it was asked, in USD
	warned time.Time // when its end was last said
}

// left returns what is left of the key's limit; false if it has none, or if that is
// not known.
func (b *keyBudget) left() (float64, bool) {
	if b.Remaining == nil {
		return 0, false
	}
	return *b.Remaining - b.spent, true
}

// pays reports whether the key can pay what a prompt costs, and has not expired.
func (b *keyBudget) pays(cost float64, now time.Time) bool {
	left, limited := b.left()
	return !b.expired(now) && (!limited || left > 0 && left >= cost)
}

func (b *keyBudget) expired(now time.Time) bool {
	return !b.ExpiresAt.IsZero() && !now.Before(b.ExpiresAt)
}

// outdated forgets what a call has shown to be wrong, since it has worked: a limit
// was raised or has begun anew, or the key's end was put off.
func (b *keyBudget) outdated(now time.Time) {
	if left, limited := b.left(); limited && left <= 0 {
		b.Remaining = nil
	}
	if b.expired(now) {
		b.ExpiresAt = time.Time{}
	}
}

// why is the failure code of a key that can pay for nothing.
func (b *keyBudget) why(now time.Time) events.Code {
	if b.expired(now) {
		return events.Unauthorized
	}
	return events.InsufficientCredits
}

// bytesPerToken is more than a token of ordinary text has, so that no prompt is
// taken to cost more than it does.
const bytesPerToken = 8

// promptCost is the least that a prompt costs at the model's list price, in USD; 0
// where the price is not known. The caller holds the lock.
func (k *keys) promptCost(n need) float64 {
	return k.prices[n.model] * float64(n.prompt/bytesPerToken)
}

// setPrice notes the list price of a token of a model's prompts.
func (k *keys) setPrice(model string, usd openrouter.Price) {
	k.mu.Lock()
	defer k.mu.Unlock()
	if k.prices == nil {
		k.prices = map[string]float64{}
	}
	k.prices[model] = float64(usd)
}

// learn takes up what OpenRouter tells of a key.
func (k *keys) learn(key *apiKey, info openrouter.KeyInfo) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key.budget.KeyInfo, key.budget.known, key.budget.spent = info, true, 0
	if info.Remaining != nil {
		k.limited.Store(true)
	}
}

// spend lowers what is left of a key's limit by what a call has cost.
func (k *keys) spend(key *apiKey, usd float64) {
	k.mu.Lock()
	defer k.mu.Unlock()
	key.budget.spent += usd
}

// remaining returns the sum of what is left of the keys' limits; false if no key has
// one, or none is known.
func (k *keys) remaining() (float64, bool) {
	k.mu.Lock()
	defer k.mu.Unlock()
	var sum float64
	var limited bool
	for _, key := range k.all {
		if left, has := key.budget.left(); has {
			sum, limited = sum+max(0, left), true
		}
	}
	return sum, limited
}

// promptBytes is the size of a request's texts, 1 where it may have media: their
// bytes say nothing of tokens.
func promptBytes(r openrouter.Request) int {
	for _, media := range []string{`base64`, `"input_audio"`, `"file_data"`} {
		if bytes.Contains(r.Messages, []byte(media)) {
			return 1
		}
	}
	return 1 + len(r.System) + len(r.Prompt) + len(r.Messages)
}
