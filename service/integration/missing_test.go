//go:build integration

package integration

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"sync"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/bus"
)

// tellLimit bounds the look for what is missing, if NATS does not answer either.
const tellLimit = 20 * time.Second

// leftMost bounds what is told of messages that are left.
const leftMost = 20

var requestID = regexp.MustCompile(`"request_id":"([0-9a-f-]{36})"`)

// requestIDs are those of the requests that JetStream has taken.
type requestIDs struct {
	mu  sync.Mutex
	ids []string
}

func (r *requestIDs) add(body []byte) {
	if id := requestID.FindSubmatch(body); id != nil {
		r.mu.Lock()
		defer r.mu.Unlock()
		r.ids = append(r.ids, string(id[1]))
	}
}

// all returns them, each once.
func (r *requestIDs) all() []string {
	r.mu.Lock()
	defer r.mu.Unlock()
	return slices.Compact(slices.Sorted(slices.Values(r.ids)))
}

// tellMissing logs the requests that have no result and the messages that are left in
// the queues: what each stream holds of them, what was called and written for them,
// and how the queues stand. From this it can be told who lost or forgot them.
func (w *world) tellMissing() {
	ctx, cancel := context.WithTimeout(context.Background(), tellLimit) // the test's own has ended
	defer cancel()
	ids, err := w.unsettled(ctx)
	if err != nil {
		w.t.Logf("what is missing cannot be told: %v", err)
	}
	if len(ids) == 0 {
		return
	}
	w.tellQueues(ctx)
	names := w.backend.Names
	for _, stream := range []string{names.RequestsStream(), names.RetriesStream(), names.ClaimsStream(), names.CancelsStream(), names.DeadlettersStream()} {
		w.tellHeld(ctx, stream, ids)
	}
	for _, id := range ids {
		w.trace(w.questionOf(w.promptOf(id)))
	}
}

// unsettled returns the requests that have no result, and those that have one and
// whose messages are left all the same.
func (w *world) unsettled(ctx context.Context) (ids []string, err error) {
	results, err := w.held(ctx, w.backend.Names.ResponsesStream())
	if err != nil {
		return nil, err
	}
	missing := slices.DeleteFunc(w.published.all(), func(id string) bool {
		return slices.ContainsFunc(results, func(m *jetstream.RawStreamMsg) bool { return strings.HasSuffix(m.Subject, "."+id) })
	})
	w.t.Logf("%d requests without a result: %v", len(missing), missing)
	var left []string
	for _, stream := range []string{w.backend.Names.RequestsStream(), w.backend.Names.RetriesStream()} {
		all, err := w.held(ctx, stream)
		if err != nil {
			return missing, err
		}
		for _, m := range all {
			if id := requestID.FindSubmatch(m.Data); id != nil && !slices.Contains(missing, string(id[1])) {
				left = append(left, string(id[1]))
			}
		}
	}
	w.t.Logf("%d messages left of requests with a result: %v", len(left), left)
	return slices.Concat(missing, left[:min(len(left), leftMost)]), nil
}

// queued is how many messages a work queue holds that its consumer has not
// acknowledged, schedules included. nats-server 2.15.2 keeps for good what was being
// acknowledged when it was terminated: it has noted that in the consumer's state, and
// closed the stream before it removed the message (2 of 150 shutdowns of a lone server
// that took 2,000 acknowledgements; what it looks for such messages at its start is
// streams by interest alone).
func (w *world) queued(stream string) (n int) {
	w.t.Helper()
	if w.backend.State(stream).Msgs == 0 {
		return 0
	}
	w.backend.Until("the messages of "+stream, func() (string, bool) {
		ctx, cancel := context.WithTimeout(w.t.Context(), tellLimit)
		defer cancel()
		all, err := w.held(ctx, stream)
		if err != nil {
			return err.Error(), false
		}
		consumer, err := w.backend.JS.Consumer(ctx, stream, bus.Durable) // read last: its ack floor only rises
		if err != nil {
			return err.Error(), false
		}
		i := consumer.CachedInfo()
		n = len(slices.DeleteFunc(all, func(m *jetstream.RawStreamMsg) bool {
			return m.Subject == i.Config.FilterSubject && m.Sequence <= i.AckFloor.Stream
		}))
		return "", true
	})
	return n
}

// tellQueues logs how the two queues and their consumers stand, and what each process
// says of itself.
func (w *world) tellQueues(ctx context.Context) {
	for _, stream := range []string{w.backend.Names.RequestsStream(), w.backend.Names.RetriesStream()} {
		consumer, err := w.backend.JS.Consumer(ctx, stream, bus.Durable)
		if err != nil {
			w.t.Logf("%s: %v", stream, err)
			continue
		}
		i := consumer.CachedInfo()
		w.t.Logf("%s: num_pending %d, num_ack_pending %d, num_redelivered %d, num_waiting %d, delivered %d, ack floor %d", stream, i.NumPending, i.NumAckPending, i.NumRedelivered, i.NumWaiting, i.Delivered.Stream, i.AckFloor.Stream)
	}
	inbox, err := w.backend.NC.SubscribeSync(w.backend.NC.NewInbox())
	if err != nil {
		return
	}
	if err := w.backend.NC.PublishRequest(w.backend.Names.Status(), inbox.Subject, nil); err != nil {
		return
	}
	for range w.replicas {
		if m, err := inbox.NextMsg(2 * time.Second); err == nil {
			w.t.Logf("status: %s", m.Data)
		}
	}
}

// tellHeld logs the messages of a stream that are about some requests, and the
// heartbeats.
func (w *world) tellHeld(ctx context.Context, stream string, ids []string) {
	all, err := w.held(ctx, stream)
	if err != nil {
		w.t.Logf("%s: %v", stream, err)
	}
	w.t.Logf("%s holds %d messages", stream, len(all))
	for _, m := range all {
		about := strings.HasPrefix(m.Subject, w.backend.Names.Instance("")) || slices.ContainsFunc(ids, func(id string) bool {
			return strings.HasSuffix(m.Subject, "."+id) || bytes.Contains(m.Data, []byte(id))
		})
		if !about {
			continue
		}
		state := ""
		if at, err := time.Parse(time.RFC3339, strings.TrimPrefix(m.Header.Get("Nats-Schedule"), "@at ")); err == nil && time.Since(at) > time.Second {
			state = fmt.Sprintf(", overdue for %s", time.Since(at).Round(time.Second))
		}
		w.t.Logf("  %s %d of %s, stored at %s%s: header %q, %.150q", stream, m.Sequence, m.Subject, clock(m.Time), state, m.Header, m.Data)
	}
}

// held reads every message of a stream. A work queue takes no second consumer.
func (w *world) held(ctx context.Context, stream string) (all []*jetstream.RawStreamMsg, err error) {
	s, err := w.backend.JS.Stream(ctx, stream)
	if err != nil {
		return nil, err
	}
	for next := uint64(1); ; {
		m, err := s.GetMsg(ctx, next, jetstream.WithGetMsgSubject(">"))
		if errors.Is(err, jetstream.ErrMsgNotFound) {
			return all, nil
		}
		if err != nil {
			return all, err
		}
		all, next = append(all, m), m.Sequence+1
	}
}

// promptOf is the prompt with which a request was called; its id if it was not.
func (w *world) promptOf(id string) string {
	for _, c := range w.upstream.Calls() {
		if strings.Contains(c.Prompt, id) {
			return c.Prompt
		}
	}
	return events.CanonicalID(id)
}
