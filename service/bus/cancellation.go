package bus

import (
	"crypto/sha256"

	"github.com/google/uuid"

	"gemini-client/events"
)

// cancellation names the request that is cancelled: by its id, and by its tenant if that
// is isolated, else "". So nobody cancels an isolated tenant's request with its id alone,
// nor that tenant anybody else's.
type cancellation struct{ tenant, id string }

// key is what the set knows a cancellation by. For an isolated tenant's it is a hash of
// both, so that the set is no larger for it: who wants to meet another's id has to find
// 128 bits of SHA-256. ok is false for an id that is none.
func (c cancellation) key() (key uuid.UUID, ok bool) {
	if !events.ValidID(c.id) {
		return uuid.Nil, false
	}
	if c.tenant == "" {
		return uuid.MustParse(c.id), true
	}
	hash := sha256.Sum256([]byte(c.tenant + " " + events.CanonicalID(c.id)))
	return uuid.UUID(hash[:len(key)]), true
}

// subject is where it is published.
func (c cancellation) subject(n events.Names) string { return n.Of(c.tenant).Cancel(c.id) }

// parseCancel reads a cancellation from its subject, and its key; false if there is none.
func parseCancel(n events.Names, subject string) (c cancellation, key uuid.UUID, ok bool) {
	c.tenant, c.id, ok = n.ParseCancel(subject)
	if ok {
		key, ok = c.key()
	}
	return c, key, ok
}
