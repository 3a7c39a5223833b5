package bus

import (
	"context"
	"errors"
	"strings"
	"time"
)

// Marks stand in a claim in the place of the process that works on its request, when
// none does, with the process behind them that left them. A worker of an older version
// takes them for processes that are dead.
const (
	markCrashed  = "crashed"  // its process panicked: the next start counts that one
	markReturned = "returned" // it was given back to its queue: that was no start
	markLater    = "later"    // it waits as a schedule, or has done so
	markSettled  = "settled"  // it has its result, or needs none
)

// Ended reports whether the work has ended that the claim was for: it is a mark, and
// not of a crash.
func (h Holder) Ended() bool {
	word, _, _ := strings.Cut(h.Instance, ":")
	return word == markReturned || word == markLater || word == markSettled
}

// isMark reports whether no process works on the request. That of a crash had no
// process behind it in older versions.
func (h Holder) isMark() bool {
	return h.Ended() || h.Instance == markCrashed || strings.HasPrefix(h.Instance, markCrashed+":")
}

// mark is what is put in the place of a claim, and for how long.
type mark struct {
	says Holder
	life time.Duration
}

// leave puts a mark in the place of a claim, now or as soon as NATS answers.
func (c *claims) leave(ctx context.Context, one *claim, word string, life time.Duration) {
	c.letGo(one)
	left := mark{one.state().says, life}
	left.says.Instance = word + ":" + c.heartbeat.instance
	if word != markCrashed {
		left.says.Starts = 0
	}
	if !c.tryLeave(context.WithoutCancel(ctx), one, left) {
		c.mu.Lock()
		defer c.mu.Unlock()
		c.pending[one] = left
	}
}

// tryLeave returns whether nothing is left to do: the mark is there, or another
// process's claim.
func (c *claims) tryLeave(ctx context.Context, one *claim, left mark) bool {
	ctx, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	err := c.replace(ctx, one, left)
	return err == nil || errors.Is(err, errTakenOver)
}

// errTakenOver is what becomes of a claim whose process was taken for dead.
var errTakenOver = errors.New("another worker has taken the request over")

// replace puts a mark, or a claim again, in the place of a claim. What stands there
// may be what we tried before, without having heard that it was stored; or nothing,
// because NATS was away for longer than claims last. Errors: errTakenOver, ErrRefused,
// ErrTooLarge, ctx's cause.
func (c *claims) replace(ctx context.Context, one *claim, by mark) error {
	one.mu.Lock()
	defer one.mu.Unlock()
	return c.swap(ctx, one, by)
}

// renew stores again what a claim says by then: a mark, if it was left meanwhile.
// Errors: replace's.
func (c *claims) renew(ctx context.Context, one *claim) error {
	one.mu.Lock()
	defer one.mu.Unlock()
	return c.swap(ctx, one, mark{one.holder, one.life})
}

// swap is replace; the claim's lock is held.
func (c *claims) swap(ctx context.Context, one *claim, by mark) error {
	if one.taken {
		return errTakenOver
	}
	for expect := one.sequence; ; {
		gaps, begun := c.heartbeat.gap(), time.Now()
		sequence, err := c.put(ctx, one.subject, by, expect)
		if err == nil {
			one.holder, one.life, one.sequence, one.gaps, one.written = by.says, by.life, sequence, gaps, begun
			return nil
		}
		if !errors.Is(err, errConflict) {
			return err
		}
		there, err := c.streams.last(ctx, c.streams.claims, one.subject)
		if err != nil {
			return err
		}
		if there == nil {
			one.expired = true
		} else if owner, _ := ParseHolder(there.Data); c.superseded(one) || owner != one.holder && owner != by.says {
			return c.lose(one)
		}
		expect = sequenceOf(there)
	}
}

// lose gives up a claim in whose place there is another one.
func (c *claims) lose(one *claim) error {
	one.taken = true
	if !c.superseded(one) {
		c.lost(one.subject)
	}
	return errTakenOver
}

// state is what a claim says, and for how long.
func (one *claim) state() mark {
	one.mu.Lock()
	defer one.mu.Unlock()
	return mark{one.holder, one.life}
}
