package bus

import (
	"context"
	"errors"
	"sync"
	"sync/atomic"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
)

// rounds claim requests and look for their results, in one round trip for all that ask
// at the same time: what asks while a round is under way is the next one. One that asks
// alone waits for one round trip and not for two. (256 look-ups in one question cost
// the worker 0.4 µs each and nats-server 2, and 9 and 9 singly.)
//
// Both may go out together since a claim is not released when its result is stored:
// whoever takes a claim where none is, and finds no result, is the first one, whichever
// of the two NATS has looked at first. A round is for messages of which nothing is
// known. Whatever else it finds, a claim, a result, or a NATS that does not answer, is
// left to those who ask, one by one.
type rounds struct {
	claims    *claims
	results   *results
	responses string // the stream's name

	mu      sync.Mutex
	waiting []*asking // for the next round
	running bool
	silent  time.Time // results are not asked for in rounds until then: NATS refused
}

// silentTime is for how long results are looked up one by one after NATS refused to be
// asked for many: this user has no right to, say, or to one message of the answer only
// (an export without response: stream).
const silentTime = time.Minute

// asking is a request in a round.
type asking struct {
	Ask
	claim    *claim
	sequence uint64    // of the claim
	err      error     // of the claim
	answered bool      // a result was found
	turn     chan bool // true: it has to run the next round; false: it was in one
}

func newRounds(c *claims, r *results) *rounds {
	return &rounds{claims: c, results: r, responses: r.streams.responses.CachedInfo().Config.Name}
}

// take claims a request that nobody has claimed, and looks for its result on the way:
// the claim says so if there is none. Errors: errConflict, if somebody may have claimed
// it; ErrRefused, ErrTooLarge, ctx's cause.
func (r *rounds) take(ctx context.Context, ask Ask) (*claim, error) {
	d := ask.Delivery
	if d.Retried || d.Deliveries > 1 || r.claims.heartbeat.doubts(d) > 0 || ctx.Err() != nil {
		return r.claims.take(ctx, ask.Callback, ask.ID, d)
	}
	one := r.claims.fresh(r.claims.streams.names.Claim(ask.Callback, ask.ID), d)
	one.gaps, one.written = r.claims.heartbeat.gap(), time.Now()
	r.claims.hold(one)
	a := &asking{Ask: ask, claim: one, turn: make(chan bool, 1)}
	if r.join(a) || <-a.turn {
		r.run()
		<-a.turn
	}
	if a.err == nil {
		one.stored(a.sequence)
		return one, nil
	}
	r.claims.letGo(one)
	if errors.Is(a.err, errConflict) {
		return nil, errConflict
	}
	return r.claims.take(ctx, ask.Callback, ask.ID, d)
}

// join has a request wait for the next round, and returns whether it has to run it: there
// is none under way.
func (r *rounds) join(a *asking) bool {
	r.mu.Lock()
	defer r.mu.Unlock()
	r.waiting = append(r.waiting, a)
	first := !r.running
	r.running = true
	return first
}

// next takes the requests of the round that begins, and whether their results are asked
// for with it.
func (r *rounds) next() (all []*asking, look bool) {
	r.mu.Lock()
	defer r.mu.Unlock()
	all = r.waiting
	if r.waiting = nil; len(all) > maxPull {
		all, r.waiting = all[:maxPull:maxPull], all[maxPull:]
	}
	return all, time.Now().After(r.silent)
}

// run sends all questions of a round at once. It ends when the last answer has come.
func (r *rounds) run() {
	all, look := r.next()
	var left atomic.Int64 // answers
	left.Store(int64(len(all)) + 1)
	came := func() {
		if left.Add(-1) == 0 {
			r.end(all)
		}
	}
	publisher := r.claims.streams.publisher
	messages := make([]posted, len(all))
	for i, a := range all {
		messages[i] = posted{m: r.claims.message(a.claim), done: func(sequence uint64, err error) {
			a.sequence, a.err = sequence, err
			came()
		}}
	}
	publisher.post(messages...)
	if !look {
		came()
		return
	}
	subjects := make([]string, len(all))
	for i, a := range all {
		subjects[i] = events.AnyResult(a.Callback, a.ID)
	}
	publisher.lasts(r.responses, subjects, func(f found) { find(all, f.subject) }, func(err error) {
		for _, a := range all {
			a.claim.unanswered = err == nil && !a.answered
		}
		r.refused(err)
		came()
	})
}

// find notes a result that is there.
func find(all []*asking, subject string) {
	callback, _, id, _ := events.ParseResult(subject)
	for _, a := range all {
		if a.Callback == callback && events.CanonicalID(a.ID) == id {
			a.answered = true
		}
	}
}

// refused has results looked up one by one for a while, where NATS refuses a question
// for many, or does not answer it to its end: each round would last until the time limit.
func (r *rounds) refused(err error) {
	if !errors.Is(err, ErrDenied) && !errors.Is(err, nats.ErrNoResponders) && !errors.Is(err, ErrNoAnswer) {
		return
	}
	r.mu.Lock()
	defer r.mu.Unlock()
	r.silent = time.Now().Add(silentTime)
}

// end has the next round begin and tells those of this one.
func (r *rounds) end(all []*asking) {
	r.mu.Lock()
	if r.running = len(r.waiting) > 0; r.running {
		r.waiting[0].turn <- true
	}
	r.mu.Unlock()
	for _, a := range all {
		a.turn <- false
	}
}
