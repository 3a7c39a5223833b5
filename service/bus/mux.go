package bus

import (
	"errors"
	"math/rand/v2"
	"strconv"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// mux hands replies to those who asked. All share one subscription: each request has
// a token in its reply subject, and no timer, channel or goroutine of its own. The
// client's own requests cost a channel, a select and two switches of goroutines each.
type mux struct {
	nc     *nats.Conn
	inbox  string // of all replies, up to the token
	within time.Duration
	sub    *nats.Subscription

	mu      sync.Mutex
	waiting map[uint64]waiter // by token
	ticks   uint64            // of the clock, which runs while somebody waits
	clock   *time.Timer
	running bool
	err     error // why nobody may ask any more
}

// waiter is told of each reply by got, which returns whether it waits for more, or
// once that there will be none.
type waiter struct {
	subject string
	since   uint64 // the tick
	got     func(m *nats.Msg, err error) (more bool)
}

// ticksToWait is how many whole ticks pass before a request counts as unanswered.
const ticksToWait = 5

// newMux returns one that nobody may ask before it is opened.
func newMux() *mux {
	x := &mux{within: requestTimeout, waiting: map[uint64]waiter{}, err: nats.ErrConnectionClosed}
	x.clock = time.AfterFunc(time.Hour, x.tick)
	x.clock.Stop()
	return x
}

// open subscribes to the replies. They are never dropped as too many: each was asked
// for.
func (x *mux) open(nc *nats.Conn) error {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.sub != nil {
		return nil
	}
	x.nc, x.inbox = nc, nc.NewInbox()+"."
	sub, err := nc.Subscribe(x.inbox+"*", x.receive)
	if err == nil {
		err = sub.SetPendingLimits(-1, -1)
	}
	if err != nil {
		return err
	}
	x.sub, x.err = sub, nil
	return nil
}

// ask sends a request, whose reply subject it sets. What cannot be sent is told before
// ask returns; everything else on other goroutines, one at a time, which got must not
// hold up. The error is ErrNoAnswer, ErrDenied, nats.ErrNoResponders or the
// connection's.
func (x *mux) ask(m *nats.Msg, got func(m *nats.Msg, err error) (more bool)) {
	x.mu.Lock()
	if err := x.err; err != nil {
		x.mu.Unlock()
		got(nil, err)
		return
	}
	token := x.newToken()
	x.put(token, waiter{subject: m.Subject, since: x.ticks, got: got})
	x.mu.Unlock()
	m.Reply = string(strconv.AppendUint(append(make([]byte, 0, 64), x.inbox...), token, 36))
	if err := x.nc.PublishMsg(m); err != nil {
		if _, waits := x.take(token); waits {
			got(nil, err)
		}
	}
}

// newToken returns one that nobody can guess: whoever sees a result sees its reply
// subject, and may be allowed to publish there. The lock is held.
func (x *mux) newToken() uint64 {
	for {
		token := rand.Uint64() //nolint:gosec // ChaCha8, seeded by the system
		if _, given := x.waiting[token]; !given {
			return token
		}
	}
}

// put has somebody wait, and the clock run. The lock is held.
func (x *mux) put(token uint64, w waiter) {
	x.waiting[token] = w
	if !x.running {
		x.running = true
		x.clock.Reset(x.within / ticksToWait)
	}
}

// take returns who waits under a token, and lets nobody else have it.
func (x *mux) take(token uint64) (waiter, bool) {
	x.mu.Lock()
	defer x.mu.Unlock()
	w, ok := x.waiting[token]
	delete(x.waiting, token)
	return w, ok
}

// receive hands a reply to whoever waits for it, who is not waiting meanwhile: nobody
// else can tell it something at the same time.
func (x *mux) receive(m *nats.Msg) {
	text, _ := strings.CutPrefix(m.Subject, x.inbox)
	token, err := strconv.ParseUint(text, 36, 64)
	if err != nil {
		return
	}
	w, ok := x.take(token)
	if !ok {
		return
	}
	if len(m.Data) == 0 && m.Header.Get("Status") == noResponders && m.Header[jetstream.StreamHeader] == nil && whole(m) { // no stored message that looks like it
		w.got(nil, nats.ErrNoResponders)
		return
	}
	if w.got(m, nil) && !x.again(token, w) {
		w.got(nil, nats.ErrConnectionClosed)
	}
}

// again has somebody wait for more; false if that is closed meanwhile, whose clock
// would never tell.
func (x *mux) again(token uint64, w waiter) bool {
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.err != nil {
		return false
	}
	x.put(token, w)
	return true
}

const noResponders = "503"

// tick ends what has waited too long.
func (x *mux) tick() {
	x.mu.Lock()
	x.ticks++
	now := x.ticks
	x.mu.Unlock()
	x.end(ErrNoAnswer, func(w waiter) bool { return now-w.since > ticksToWait })
	x.mu.Lock()
	defer x.mu.Unlock()
	if x.running = len(x.waiting) > 0; x.running {
		x.clock.Reset(x.within / ticksToWait)
	}
}

// lost ends what was asked on a connection that is gone: its replies never come.
func (x *mux) lost(err error) { x.end(err, func(waiter) bool { return true }) }

// refused ends the requests that a permission violation is about.
func (x *mux) refused(err error) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return
	}
	text := err.Error()
	x.end(denied(text), func(w waiter) bool { return strings.Contains(text, strconv.Quote(w.subject)) })
}

// end tells some of those who wait that no reply will come.
func (x *mux) end(err error, which func(waiter) bool) {
	var over []waiter
	x.mu.Lock()
	for token, w := range x.waiting {
		if which(w) {
			over = append(over, w)
			delete(x.waiting, token)
		}
	}
	x.mu.Unlock()
	for _, w := range over {
		w.got(nil, err)
	}
}

// close ends what still waits, and the clock.
func (x *mux) close() {
	x.mu.Lock()
	x.err = nats.ErrConnectionClosed
	x.clock.Stop()
	x.mu.Unlock()
	x.lost(nats.ErrConnectionClosed)
}
