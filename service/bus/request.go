package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// requestTimeout bounds one request to NATS. It is set for each try: the
// client's own default applies only to contexts without a deadline, and a
// request's deadline may be minutes away. A stream that this user may not see
// does not answer at all.
const requestTimeout = 5 * time.Second

// Errors of [Conn.Do].
var (
	ErrDenied   = errors.New("this NATS user may not do that")
	ErrNoAnswer = fmt.Errorf("NATS did not answer within %s: %w", requestTimeout, context.DeadlineExceeded)
)

// errNoMessage is [Conn.request]'s answer when no message matches.
var errNoMessage = errors.New("no message matches")

// pending holds the requests to NATS in flight. NATS reports a
// permission violation apart from the request that it is about.
type pending struct {
	mu  sync.Mutex
	all map[*pendingRequest]struct{}

	subscriptions sync.Map // subjects that this user may not subscribe to, or might not once
}

type pendingRequest struct {
	about  string // a part of the subjects that it uses
	cancel context.CancelCauseFunc
}

func newPending() *pending { return &pending{all: map[*pendingRequest]struct{}{}} }

// refused ends the requests that a permission violation is about, and returns
// whether there are any.
func (p *pending) refused(err error) (found bool) {
	if !errors.Is(err, nats.ErrPermissionViolation) {
		return false
	}
	text := err.Error()
	if _, quoted, ok := strings.Cut(text, `Subscription to "`); ok {
		subject, _, _ := strings.Cut(quoted, `"`)
		p.subscriptions.Store(subject, true)
	}
	p.mu.Lock()
	defer p.mu.Unlock()
	for r := range p.all {
		if strings.Contains(text, r.about) {
			found = true
			r.cancel(denied(text))
		}
	}
	return found
}

// denies reports whether NATS has refused a subscription.
func (p *pending) denies(subject string) bool {
	_, denied := p.subscriptions.Load(subject)
	return denied
}

// denied is the error of what a permission violation is about.
func denied(violation string) error {
	return fmt.Errorf("%w (%s)", ErrDenied, strings.TrimPrefix(violation, nats.ErrPermissionViolation.Error()+": "))
}

// Do makes one request to NATS, which may take 5 seconds. about is a part of the
// subjects that the request uses, by which a permission violation is known to be
// about it. Errors: ErrDenied, ErrNoAnswer, ctx's cause, do's.
func (c *Conn) Do(ctx context.Context, about string, do func(context.Context) error) error {
	ctx, refuse := context.WithCancelCause(ctx)
	defer refuse(nil)
	limited, cancel := context.WithTimeoutCause(ctx, requestTimeout, ErrNoAnswer)
	defer cancel()
	r := &pendingRequest{about: about, cancel: refuse}
	c.pending.mu.Lock()
	c.pending.all[r] = struct{}{}
	c.pending.mu.Unlock()
	defer func() {
		c.pending.mu.Lock()
		defer c.pending.mu.Unlock()
		delete(c.pending.all, r)
	}()
	err := do(limited)
	if cause := context.Cause(limited); err != nil && cause != nil {
		return cause
	}
	return err
}

// request asks JetStream's API one question (a body, nil for none) and decodes
// its answer. It is for what nats.go cannot ask. Errors: errNoMessage,
// *jetstream.APIError, those of the connection.
func (c *Conn) request(ctx context.Context, question string, body, answer any) error {
	var encoded []byte
	if body != nil {
		var err error
		if encoded, err = json.Marshal(body); err != nil {
			return err
		}
	}
	m, err := c.RequestWithContext(ctx, c.api(question), encoded)
	if err != nil {
		return err
	}
	var failed struct {
		Error *jetstream.APIError `json:"error"`
	}
	if err := json.Unmarshal(m.Data, &failed); err != nil {
		return err
	}
	switch {
	case failed.Error == nil:
		return json.Unmarshal(m.Data, answer)
	case failed.Error.ErrorCode == jsErrNoMessage:
		return errNoMessage
	}
	return failed.Error
}
