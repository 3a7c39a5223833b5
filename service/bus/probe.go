package bus

import (
	"context"
	"errors"
	"fmt"
	"strconv"
	"sync"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
)

// Lack is a right that a user does not have, or that leads nowhere.
type Lack struct {
	Right
	Why string
}

// Whys of a [Lack].
const (
	whyDenied  = "this user's permissions refuse it"
	whyNowhere = "nobody answers there: is the stream there, and does this user's account import it?"
	whySilent  = "NATS gave no answer"
)

// ErrInbox is a user that may not subscribe to its own inboxes, and so gets no answer.
var ErrInbox = errors.New("this NATS user may not subscribe to its inboxes")

// storesNothing is the stream that a probe expects to publish to: JetStream refuses it
// before it stores anything.
const storesNothing = "GEMINI_CLIENT_DOCTOR_STORES_NOTHING"

// Lacks finds out which rights this user lacks, and changes nothing: what is asked has no
// answer in any stream, what is published is refused by JetStream before it is stored, and
// where somebody might listen it is refused by the server before it goes anywhere, which its
// log tells of. It subscribes for a moment. absent are streams that are known to be
// missing: of them nothing is asked. The rights are tried at once, within 5 seconds. Errors:
// ErrNoAnswer, ctx's cause, those of the connection.
func (c *Conn) Lacks(ctx context.Context, rights []Right, absent func(stream string) bool) ([]Lack, error) {
	var heard []string
	for _, r := range rights {
		if r.Subscribe {
			heard = append(heard, r.Subject)
		}
	}
	denied, err := c.subscribeTo(ctx, heard...)
	if err != nil {
		return nil, err
	}
	whys := make([]string, len(rights))
	var wg sync.WaitGroup
	for i, r := range rights {
		switch {
		case r.Subscribe:
			if denied(r.Subject) {
				whys[i] = whyDenied
			}
		case r.stream != "" && absent(r.stream):
		default:
			wg.Go(func() { whys[i] = c.try(ctx, r) })
		}
	}
	wg.Wait()
	if ctx.Err() != nil {
		return nil, context.Cause(ctx)
	}
	var lacks []Lack
	for i, why := range whys {
		if why != "" {
			lacks = append(lacks, Lack{rights[i], why})
		}
	}
	return lacks, nil
}

// HearsInbox returns an ErrInbox if no answer would arrive. Other errors: those of Lacks.
func (c *Conn) HearsInbox(ctx context.Context) error {
	inbox := c.NewInbox() + ".*"
	denied, err := c.subscribeTo(ctx, inbox)
	if err == nil && denied(inbox) {
		return fmt.Errorf("%w (%s)", ErrInbox, inbox)
	}
	return err
}

// subscribeTo tries subscriptions, and returns what tells which the server has refused.
func (c *Conn) subscribeTo(ctx context.Context, subjects ...string) (denied func(subject string) bool, err error) {
	for _, subject := range subjects {
		sub, err := c.Subscribe(subject, func(*nats.Msg) {})
		if err != nil {
			return nil, fmt.Errorf("subscribe to %s: %w", subject, err)
		}
		defer sub.Unsubscribe() //nolint:errcheck // it fails on a closed connection only
	}
	// What the server refuses it says in the order in which it was asked: behind this
	// refusal all others have been heard.
	if _, err := c.mayPublish(ctx, subjectOf("doctor")); err != nil {
		return nil, err
	}
	return c.pending.denies, nil
}

// subjectOf is a subject that no message has.
func subjectOf(word string) string { return "gemini-client." + word + "." + uuid.NewString() }

// try returns why a right to publish is lacking, "" if it is not.
func (c *Conn) try(ctx context.Context, r Right) (why string) {
	if r.unheard {
		may, err := c.mayPublish(ctx, r.probe)
		switch {
		case err != nil:
			return whySilent
		case !may:
			return whyDenied
		}
		return ""
	}
	m := &nats.Msg{Subject: r.probe, Data: r.body}
	if r.store {
		m.Header = nats.Header{nats.ExpectedStreamHdr: []string{storesNothing}}
	}
	err := c.Do(ctx, strconv.Quote(r.probe), func(ctx context.Context) error {
		_, err := c.RequestMsgWithContext(ctx, m)
		return err
	})
	switch {
	case err == nil:
		return ""
	case errors.Is(err, ErrDenied):
		return whyDenied
	case errors.Is(err, nats.ErrNoResponders):
		return whyNowhere
	}
	return whySilent
}

// mayPublish reports whether this user may publish to a subject. Nobody gets the message:
// its reply subject is one of the server's own, which the server refuses to everybody, but
// not before it has looked at the subject. Errors: ErrNoAnswer, ctx's cause, those of the
// connection.
func (c *Conn) mayPublish(ctx context.Context, subject string) (may bool, err error) {
	reply := "_R_.gemini-client." + uuid.NewString()
	limited, cancel := context.WithTimeoutCause(ctx, requestTimeout, ErrNoAnswer)
	defer cancel()
	allowed := c.refusal(limited, "Reply of "+strconv.Quote(reply))
	denied := c.refusal(limited, "Publish to "+strconv.Quote(subject))
	if err := c.PublishMsg(&nats.Msg{Subject: subject, Reply: reply}); err != nil {
		return false, err
	}
	select {
	case <-allowed:
		return true, nil
	case <-denied:
		return false, nil
	case <-limited.Done():
		return false, context.Cause(limited)
	}
}

// refusal returns a channel that is closed when a permission violation is about a text. It
// waits for one until ctx ends.
func (c *Conn) refusal(ctx context.Context, about string) <-chan struct{} {
	refused := make(chan struct{})
	once := sync.OnceFunc(func() { close(refused) })
	r := &pendingRequest{about: about, cancel: func(error) { once() }}
	c.pending.mu.Lock()
	c.pending.all[r] = struct{}{}
	c.pending.mu.Unlock()
	context.AfterFunc(ctx, func() {
		c.pending.mu.Lock()
		defer c.pending.mu.Unlock()
		delete(c.pending.all, r)
	})
	return refused
}
