package bus

import (
	"log/slog"
	"sync"
	"time"
)

// repeatInterval is when an error that keeps coming is logged again.
const repeatInterval = time.Minute

// repeats logs an error once a minute: a missing permission comes with every
// pull, a wrong password with every attempt to connect.
type repeats struct {
	log  *slog.Logger
	mu   sync.Mutex
	said map[string]time.Time
}

func newRepeats(log *slog.Logger) *repeats {
	return &repeats{log: log, said: map[string]time.Time{}}
}

func (r *repeats) say(what string, err error) {
	r.mu.Lock()
	defer r.mu.Unlock()
	text := what + errorText(err)
	if last, ok := r.said[text]; ok && time.Since(last) < repeatInterval {
		return
	}
	if len(r.said) > 100 { // texts with numbers in them must not pile up
		clear(r.said)
	}
	r.said[text] = time.Now()
	r.log.Warn(what, "error", err)
}
