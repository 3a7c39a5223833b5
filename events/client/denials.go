package client

import (
	"context"
	"errors"
	"fmt"
	"strings"
	"sync"

	"github.com/nats-io/nats.go"
)

// denials learns of what the user may not do. NATS reports that apart from the publish
// or the subscription that it is about, which else would only not be answered.
type denials struct {
	mu    sync.Mutex
	waits map[*wait]struct{}
}

// wait is something that is under way on a subject.
type wait struct {
	subject string
	end     context.CancelCauseFunc
}

// listen takes the connection's error handler in between.
func listen(nc *nats.Conn) *denials {
	d := &denials{waits: map[*wait]struct{}{}}
	before := nc.ErrorHandler()
	nc.SetErrorHandler(func(nc *nats.Conn, s *nats.Subscription, err error) {
		if errors.Is(err, nats.ErrPermissionViolation) {
			d.tell(err)
		}
		if before != nil {
			before(nc, s, err)
		}
	})
	return d
}

// tell ends what a violation is about: its text quotes the subject. Without its inbox a
// connection hears no answer to anything.
func (d *denials) tell(violation error) {
	text, err := violation.Error(), fmt.Errorf("%w (%w)", ErrNotAllowed, violation)
	inbox := strings.Contains(text, `Subscription to "`+nats.InboxPrefix)
	if inbox {
		err = fmt.Errorf("%w: is the connection made with nats.CustomInboxPrefix?", err)
	}
	d.mu.Lock()
	defer d.mu.Unlock()
	for w := range d.waits {
		if inbox || strings.Contains(text, `"`+w.subject+`"`) {
			w.end(err)
		}
	}
}

// during returns a context that ends with ErrNotAllowed if NATS denies a subject. The
// caller calls stop.
func (d *denials) during(ctx context.Context, subject string) (during context.Context, stop func()) {
	during, end := context.WithCancelCause(ctx)
	w := &wait{subject, end}
	d.mu.Lock()
	d.waits[w] = struct{}{}
	d.mu.Unlock()
	return during, func() {
		d.mu.Lock()
		delete(d.waits, w)
		d.mu.Unlock()
		end(nil)
	}
}
