package bus

import (
	"context"
	"errors"
	"fmt"
	"sync"
	"sync/atomic"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"

	"gemini-client/service/tenant"
)

// cancels knows which requests were cancelled: a stream remembers them, and a
// subscription brings those that come now to calls in flight. Every request looks and
// nearly none was cancelled, so this process keeps what the stream has in a set, makes
// sure of it every verifyEvery, and asks the stream only where the set cannot tell.
//
// A cancellation that was acknowledged before its request was published is in the set
// before the request is looked up, because one server hands out both: it gives the
// cancellation to its stream and to this connection in one go, and the request to this
// connection later. Between servers nothing keeps that order, so there the stream is
// asked (see cancelsInfo.orders), once for all requests that look at the same time.
//
// It asks the stream's leader, in JSON, and not by a direct get: see queue.pull for
// Status headers. A consumer of its own would tell it what it has not heard sooner than
// verifyEvery. But who may make a consumer of this stream may make one that pushes what
// any backend puts there to any subject of the streams' account, gemini.retries for one
// (nats-server 2.15.2, accounts as in deploy/nats), where workers may not publish.
type cancels struct {
	streams *streams
	set     *cancelSet
	share   *share
	tenants *tenant.Registry
	wake    chan struct{} // somebody wants the set to be made sure of now

	// These bring those that come now; nil before follow. Those of isolated tenants have one
	// of their own, once such a tenant is declared: an account may not pass them on yet.
	live     atomic.Pointer[nats.Subscription]
	isolated atomic.Pointer[nats.Subscription]

	// For watch alone.
	created time.Time // of the stream that was read last: tells it from one of the same name
	through uint64    // the set has everything up to this sequence
	read    time.Time // when all of it was asked for last
	behind  bool      // the set lacks what is older, until all of it is read
	said    bool      // the log says that it has more than the set takes
}

func newCancels(s *streams, tenants *tenant.Registry) *cancels {
	return &cancels{streams: s, tenants: tenants, set: newCancelSet(cancelSetMost), share: newShare(), wake: make(chan struct{}, 1), behind: true}
}

// follow keeps the set current and calls cancelled with every request that is cancelled
// from now on, until stop is called. cancelled must not block.
func (c *cancels) follow(ctx context.Context, cancelled func(tenant, id string)) (stop func(), err error) {
	s := c.streams
	plain, _ := s.names.Cancels()
	if err := c.listen(&c.live, plain, cancelled); err != nil {
		return nil, err
	}
	c.tenants.OnChange(func() { signal(c.wake) })
	flush, cancel := context.WithTimeout(ctx, requestTimeout)
	defer cancel()
	if err := s.conn.FlushWithContext(flush); err != nil {
		s.log.WarnContext(ctx, "cancellations take effect once NATS answers", "error", err)
	}
	watching, end := context.WithCancel(context.WithoutCancel(ctx))
	var watch sync.WaitGroup
	watch.Go(func() { c.watch(watching, cancelled) })
	return func() {
		_ = c.live.Load().Unsubscribe()
		end()
		watch.Wait()
		_ = c.isolated.Load().Unsubscribe() // fails for nil
	}, nil
}

// listen brings the cancellations of a subject from now on.
func (c *cancels) listen(to *atomic.Pointer[nats.Subscription], subject string, cancelled func(tenant, id string)) error {
	subscription, err := c.streams.conn.Subscribe(subject, func(m *nats.Msg) {
		if one, key, ok := parseCancel(c.streams.names, m.Subject); ok {
			c.set.hear(key) // before those are told whom it concerns: whoever looks now is not among them
			cancelled(one.tenant, one.id)
		}
	})
	if err != nil {
		return fmt.Errorf("subscribe to %s: %w", subject, err)
	}
	to.Store(subscription)
	return nil
}

// listenToIsolated listens to the cancellations of isolated tenants' requests once one is
// declared. Until then nobody has to let this process hear them.
func (c *cancels) listenToIsolated(cancelled func(tenant, id string)) {
	if c.isolated.Load() != nil || !c.tenants.Isolated() {
		return
	}
	_, subject := c.streams.names.Cancels()
	if err := c.listen(&c.isolated, subject, cancelled); err != nil {
		c.streams.log.Warn("cancellations of isolated tenants' requests are not heard: NATS is asked about each", "error", err)
	}
}

// IsCancelled returns whether a request was cancelled, as the stream remembers it. tenant
// is its Delivery's Scope. If it has to ask, it waits for NATS as long as ctx lasts.
// Errors: ErrRefused, ctx's cause.
func (b *Bus) IsCancelled(ctx context.Context, tenant, id string) (bool, error) {
	return b.cancels.has(ctx, cancellation{tenant, id})
}

// has returns whether a request was cancelled. Errors: ErrRefused, ctx's cause.
func (c *cancels) has(ctx context.Context, one cancellation) (bool, error) {
	key, ok := one.key()
	if !ok {
		return c.ask(ctx, one)
	}
	if cancelled, known := c.known(key, one.tenant != ""); known {
		return cancelled, nil
	}
	if c.set.reached() {
		return c.askTogether(ctx, one, key)
	}
	return c.ask(ctx, one)
}

// known returns whether a request was cancelled, if that is known without asking. A
// cancellation that was just heard may not be stored yet; of an older one the stream
// decides, which may have forgotten it by now. A request was not cancelled if it is not
// here and nothing can have been missed.
func (c *cancels) known(key uuid.UUID, isolated bool) (cancelled, known bool) {
	on, whole := c.feed() // first: what it says has been taken up is looked for after that
	heard, there, current := c.set.look(key, on)
	if there {
		return true, time.Since(heard) < cancelYoung
	}
	return false, whole && current && (on.isolated || !isolated)
}

// feed tells apart what brings the cancellations that come now: what one has not
// brought, the next one has to make up for.
type feed struct {
	connection uint64 // the number of reconnects before it
	dropped    int    // messages that the client had no room for
	isolated   bool   // it brings those of isolated tenants as well
}

// feed returns the feed of this moment, and whether all is in the set that it has
// brought. The client hands out the messages of different subscriptions in no order, so
// a cancellation that came before a request may still wait.
func (c *cancels) feed() (on feed, whole bool) {
	nc, live := c.streams.conn, c.live.Load()
	waiting, _, err := live.Pending() // fails for nil
	on.dropped, _ = live.Dropped()
	on.connection = nc.Stats().Reconnects
	if isolated := c.isolated.Load(); isolated != nil && !nc.pending.denies(isolated.Subject) {
		more, _, _ := isolated.Pending()
		dropped, _ := isolated.Dropped()
		waiting, on.dropped, on.isolated = waiting+more, on.dropped+dropped, true
	}
	return on, err == nil && waiting == 0 && nc.IsConnected() && !nc.pending.denies(live.Subject)
}

// ask has the stream say whether a request was cancelled. Errors: ErrRefused, ctx's
// cause.
func (c *cancels) ask(ctx context.Context, one cancellation) (found bool, err error) {
	s := c.streams
	last := map[string]any{"last_by_subj": one.subject(s.names), "no_hdr": true}
	err = s.patiently(ctx, func(ctx context.Context) error {
		err := s.conn.request(ctx, "STREAM.MSG.GET."+s.names.CancelsStream(), last, new(struct{}))
		found = err == nil
		if errors.Is(err, errNoMessage) {
			return nil
		}
		return classify(err)
	})
	return found, err
}
