package main

import (
	"bytes"
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/bus"
)

// requestState is everything that is known of one request. What is not known is
// null or empty.
type requestState struct {
	ID          string          `json:"request_id"`
	Tenant      string          `json:"tenant"`  // whose it is, as far as it is known
	Answers     []answerState   `json:"answers"` // the last one of each callback
	Claims      []claimState    `json:"claims"`
	Schedules   []scheduleState `json:"later"`
	Queued      []messageState  `json:"queued"`
	DeadLetter  *deadLetter     `json:"dead_letter"` // the newest
	CancelledAt *time.Time      `json:"cancelled_at"`
	Unseen      []string        `json:"unseen"`
}

type answerState struct {
	Subject  string      `json:"subject"`
	Sequence uint64      `json:"sequence"`
	At       time.Time   `json:"at"`
	Code     events.Code `json:"error_code,omitempty"`
}

// claimState is the worker that holds the claim, or held it when it died.
type claimState struct {
	Instance string    `json:"instance"`
	Alive    bool      `json:"alive"`
	Hostname string    `json:"hostname"` // empty if it did not answer
	Message  string    `json:"message"`  // <stream>/<sequence>
	Since    time.Time `json:"since"`
	Starts   int       `json:"starts"`
}

type scheduleState struct {
	Callback string    `json:"callback"`
	At       time.Time `json:"at"`
	Retry    int       `json:"retry"`            // how often it was rescheduled, this time included
	Batched  time.Time `json:"batched,omitzero"` // since when it waits for a batch, or for its answer
}

type messageState struct {
	Message   string    `json:"message"` // <stream>/<sequence>
	At        time.Time `json:"at"`
	Delivered bool      `json:"delivered"` // to a worker, which has not settled it
	Ahead     int       `json:"ahead"`     // messages that wait before it
}

// requestStatus is what is known of a request, formatted. The error is errFailed if
// nothing is.
func (a *adminClient) requestStatus(ctx context.Context, id string, o statusOptions) ([]byte, error) {
	w := a.find(ctx, id, o.scan)
	var failed error
	if !w.known() {
		failed = errFailed
	}
	if !o.json {
		return w.text(), failed
	}
	line, err := jsonLine(w)
	return line, errors.Join(failed, err)
}

// find looks for a request in every stream, and in so many messages of each queue.
func (a *adminClient) find(ctx context.Context, id string, scan int) *requestState {
	w := &requestState{ID: events.CanonicalID(id), Answers: []answerState{}, Claims: []claimState{}, Schedules: []scheduleState{}, Queued: []messageState{}, Unseen: []string{}}
	for _, find := range []func(context.Context, *requestState) error{a.findAnswers, a.findClaims, a.findSchedules, a.findDeadLetter, a.findCancel} {
		if err := find(ctx, w); err != nil {
			w.Unseen = append(w.Unseen, plain(err.Error()))
		}
	}
	if err := a.findInQueues(ctx, w, scan); err != nil {
		w.Unseen = append(w.Unseen, plain(err.Error()))
	}
	return w
}

func (w *requestState) known() bool {
	return len(w.Answers)+len(w.Claims)+len(w.Schedules)+len(w.Queued) > 0 || w.DeadLetter != nil || w.CancelledAt != nil
}

// each calls found with the last message of a subject, for each callback that has
// one.
func (a *adminClient) each(ctx context.Context, stream string, subject func(callback string) string, found func(context.Context, jetstream.Stream, string, *jetstream.RawStreamMsg) error) error {
	s, err := a.stream(ctx, stream)
	if err != nil {
		return err
	}
	for _, callback := range a.callbacks() {
		m, err := a.last(ctx, s, subject(callback))
		if err != nil {
			return err
		}
		if m == nil {
			continue
		}
		if err := found(ctx, s, callback, m); err != nil {
			return err
		}
	}
	return nil
}

func (a *adminClient) findAnswers(ctx context.Context, w *requestState) error {
	subject := func(callback string) string { return events.AnyResult(callback, w.ID) }
	return a.each(ctx, a.names.ResponsesStream(), subject, func(_ context.Context, _ jetstream.Stream, _ string, m *jetstream.RawStreamMsg) error {
		w.of(m.Header)
		answer := answerState{Subject: m.Subject, Sequence: m.Sequence, At: m.Time.UTC()}
		if r, err := events.DecodeResult(m.Data); err == nil && r.ErrorCode != nil {
			answer.Code = *r.ErrorCode
		}
		w.Answers = append(w.Answers, answer)
		return nil
	})
}

func (a *adminClient) findClaims(ctx context.Context, w *requestState) error {
	subject := func(callback string) string { return a.names.Claim(callback, w.ID) }
	return a.each(ctx, a.names.ClaimsStream(), subject, func(ctx context.Context, s jetstream.Stream, callback string, m *jetstream.RawStreamMsg) error {
		holder, ok := bus.ParseHolder(m.Data)
		if !ok || holder.Ended() || w.answeredSince(callback, m.Time) {
			return nil
		}
		c := claimState{Instance: plain(holder.Instance), Message: fmt.Sprintf("%s/%d", holder.Stream, holder.Sequence), Since: m.Time.UTC(), Starts: holder.Starts}
		heartbeat, err := a.last(ctx, s, a.names.Instance(holder.Instance))
		if err != nil {
			return err
		}
		if c.Alive = heartbeat != nil && len(heartbeat.Data) > 0; c.Alive {
			c.Hostname = a.hostname(ctx, holder.Instance)
		}
		w.Claims = append(w.Claims, c)
		return nil
	})
}

// answeredSince reports whether a result was stored on a callback after a claim, which
// then stays until it expires.
func (w *requestState) answeredSince(callback string, claimed time.Time) bool {
	return slices.ContainsFunc(w.Answers, func(a answerState) bool {
		on, _, _, _ := events.ParseResult(a.Subject)
		return on == callback && a.At.After(claimed)
	})
}

// hostname asks the workers for the host of one of them; "" if that does not
// answer.
func (a *adminClient) hostname(ctx context.Context, instance string) string {
	workers, _ := a.workers(ctx)
	for _, worker := range workers {
		if worker.Instance == instance {
			return plain(worker.Hostname)
		}
	}
	return ""
}

func (a *adminClient) findSchedules(ctx context.Context, w *requestState) error {
	subject := func(callback string) string { return a.names.Later(callback, w.ID) }
	return a.each(ctx, a.names.RetriesStream(), subject, func(_ context.Context, _ jetstream.Stream, callback string, m *jetstream.RawStreamMsg) error {
		w.of(m.Header)
		at, _ := firesAt(m)
		retry, _ := events.RetryCount(m.Header)
		w.Schedules = append(w.Schedules, scheduleState{Callback: callback, At: at, Retry: retry, Batched: events.Batch(m.Header).Since})
		return nil
	})
}

func (a *adminClient) findDeadLetter(ctx context.Context, w *requestState) error {
	deadLetters, err := a.deadLetters(ctx, selection{code: "*", id: w.ID, tenant: a.tenantOnly})
	if len(deadLetters) > 0 {
		w.Tenant = cmp.Or(w.Tenant, deadLetters[len(deadLetters)-1].Tenant)
		w.DeadLetter = &deadLetters[len(deadLetters)-1]
	}
	return err
}

func (a *adminClient) findCancel(ctx context.Context, w *requestState) error {
	s, err := a.stream(ctx, a.names.CancelsStream())
	if err != nil {
		return err
	}
	m, err := a.last(ctx, s, a.names.Cancel(w.ID))
	if m != nil {
		at := m.Time.UTC()
		w.CancelledAt = &at
	}
	return err
}

// of notes whose request it is by the headers of what the service has stored.
func (w *requestState) of(h nats.Header) {
	if h.Get(events.HeaderTenant) != "" {
		w.Tenant, _ = events.TenantOf(h)
	}
}

// text formats the state of the request for people.
func (w *requestState) text() []byte {
	var b bytes.Buffer
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s%s\n", name, plain(fmt.Sprintf(format, args...)))
	}
	row("request", "%s", w.ID)
	row("tenant", "%s", cmp.Or(w.Tenant, "unknown"))
	for _, a := range w.Answers {
		code := ""
		if a.Code != "" {
			code = fmt.Sprintf(" (%s)", a.Code)
		}
		row("answered", "%s%s: %s", a.Subject, code, since(a.At))
	}
	for _, c := range w.Claims {
		switch {
		case !c.Alive:
			row("claimed", "by instance %s, which is gone: the next delivery takes it over (message %s, start %d)", c.Instance, c.Message, c.Starts)
		default:
			row("in flight", "by instance %s on %s since %s (message %s, start %d)", c.Instance, host(c.Hostname), since(c.Since), c.Message, c.Starts)
		}
	}
	for _, l := range w.Schedules {
		name, text := l.describe()
		row(name, "%s (retry %d); callback %s", text, l.Retry, l.Callback)
	}
	for _, q := range w.Queued {
		if q.Delivered {
			row("delivered", "%s, stored %s; not settled yet", q.Message, since(q.At))
		} else {
			row("queued", "%s, stored %s; %d waiting before it", q.Message, since(q.At), q.Ahead)
		}
	}
	if w.DeadLetter != nil {
		row("dead letter", "%d (%s), kept %s: %s", w.DeadLetter.Sequence, w.DeadLetter.Code, since(w.DeadLetter.Time), w.DeadLetter.Reason)
	}
	if w.CancelledAt != nil {
		row("cancelled", "%s", since(*w.CancelledAt))
	}
	if !w.known() {
		row("unknown", "it is in no queue, and no result, dead letter or cancellation of it is kept")
	}
	for _, text := range w.Unseen {
		row("not seen", "%s", text)
	}
	return b.Bytes()
}

// describe returns what a request waits for. The time of a schedule says nothing of when
// a batch is answered.
func (l scheduleState) describe() (name, text string) {
	if l.Batched.IsZero() {
		return "scheduled", "for " + since(l.At)
	}
	return "batched", "waits for a batch, or for its answer, since " + since(l.Batched)
}

func host(name string) string {
	if name == "" {
		return "a host that did not answer"
	}
	return name
}
