package main

import (
	"bytes"
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/bus"
)

// whereabouts is everything that is known of one request. What is not known is
// null or empty.
type whereabouts struct {
	ID          string       `json:"request_id"`
	Answers     []answerSeen `json:"answers"` // the last one of each callback
	Claims      []claimSeen  `json:"claims"`
	Later       []laterSeen  `json:"later"`
	Queued      []queuedSeen `json:"queued"`
	DeadLetter  *letter      `json:"dead_letter"` // the newest
	CancelledAt *time.Time   `json:"cancelled_at"`
	Unseen      []string     `json:"unseen"`
}

type answerSeen struct {
	Subject  string      `json:"subject"`
	Sequence uint64      `json:"sequence"`
	At       time.Time   `json:"at"`
	Code     events.Code `json:"error_code,omitempty"`
}

// claimSeen is who works on it, or did when it died.
type claimSeen struct {
	Instance string    `json:"instance"`
	Alive    bool      `json:"alive"`
	Hostname string    `json:"hostname"` // empty if it did not answer
	Message  string    `json:"message"`  // <stream>/<sequence>
	Since    time.Time `json:"since"`
	Starts   int       `json:"starts"`
}

type laterSeen struct {
	Callback string    `json:"callback"`
	At       time.Time `json:"at"`
	Retry    int       `json:"retry"` // how often it had been put back, this time included
}

type queuedSeen struct {
	Message   string    `json:"message"` // <stream>/<sequence>
	At        time.Time `json:"at"`
	Delivered bool      `json:"delivered"` // to a worker, which has not settled it
	Ahead     int       `json:"ahead"`     // messages that wait before it
}

// trace looks for a request wherever it can be. errFailed if nothing is known.
func (d *desk) trace(ctx context.Context, id string, o statusOptions) ([]byte, error) {
	w := &whereabouts{ID: events.CanonicalID(id), Answers: []answerSeen{}, Claims: []claimSeen{}, Later: []laterSeen{}, Queued: []queuedSeen{}, Unseen: []string{}}
	for _, look := range []func(context.Context, *whereabouts) error{d.findAnswers, d.findClaims, d.findLater, d.findLetter, d.findCancel} {
		if err := look(ctx, w); err != nil {
			w.Unseen = append(w.Unseen, plain(err.Error()))
		}
	}
	for _, q := range []queueName{{d.names.RetriesStream(), d.names.Retries()}, {d.names.RequestsStream(), d.names.RequestQueue}} {
		if err := d.findQueued(ctx, w, q, o.scan); err != nil {
			w.Unseen = append(w.Unseen, plain(err.Error()))
		}
	}
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

func (w *whereabouts) known() bool {
	return len(w.Answers)+len(w.Claims)+len(w.Later)+len(w.Queued) > 0 || w.DeadLetter != nil || w.CancelledAt != nil
}

// each calls found with the last message of a subject, for each callback.
func (d *desk) each(ctx context.Context, stream string, subject func(callback string) string, found func(context.Context, jetstream.Stream, string, *jetstream.RawStreamMsg) error) error {
	s, err := d.stream(ctx, stream)
	if err != nil {
		return err
	}
	for _, callback := range d.config.Callbacks() {
		m, err := d.last(ctx, s, subject(callback))
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

func (d *desk) findAnswers(ctx context.Context, w *whereabouts) error {
	subject := func(callback string) string { return events.AnyResult(callback, w.ID) }
	return d.each(ctx, d.names.ResponsesStream(), subject, func(_ context.Context, _ jetstream.Stream, _ string, m *jetstream.RawStreamMsg) error {
		a := answerSeen{Subject: m.Subject, Sequence: m.Sequence, At: m.Time.UTC()}
		if r, err := events.DecodeResult(m.Data); err == nil && r.ErrorCode != nil {
			a.Code = *r.ErrorCode
		}
		w.Answers = append(w.Answers, a)
		return nil
	})
}

func (d *desk) findClaims(ctx context.Context, w *whereabouts) error {
	subject := func(callback string) string { return d.names.Claim(callback, w.ID) }
	return d.each(ctx, d.names.ClaimsStream(), subject, func(ctx context.Context, s jetstream.Stream, _ string, m *jetstream.RawStreamMsg) error {
		holder, ok := bus.ParseHolder(m.Data)
		if !ok {
			return nil
		}
		c := claimSeen{Instance: plain(holder.Instance), Message: fmt.Sprintf("%s/%d", holder.Stream, holder.Sequence), Since: m.Time.UTC(), Starts: holder.Starts}
		life, err := d.last(ctx, s, d.names.Instance(holder.Instance))
		if err != nil {
			return err
		}
		if c.Alive = life != nil && len(life.Data) > 0; c.Alive {
			c.Hostname = d.hostname(ctx, holder.Instance)
		}
		w.Claims = append(w.Claims, c)
		return nil
	})
}

// hostname asks the workers where one of them runs; "" if that does not answer.
func (d *desk) hostname(ctx context.Context, instance string) string {
	workers, _ := d.workers(ctx)
	for _, worker := range workers {
		if worker.Instance == instance {
			return plain(worker.Hostname)
		}
	}
	return ""
}

func (d *desk) findLater(ctx context.Context, w *whereabouts) error {
	subject := func(callback string) string { return d.names.Later(callback, w.ID) }
	return d.each(ctx, d.names.RetriesStream(), subject, func(_ context.Context, _ jetstream.Stream, callback string, m *jetstream.RawStreamMsg) error {
		at, _ := firesAt(m)
		retry, _ := events.RetryCount(m.Header)
		w.Later = append(w.Later, laterSeen{Callback: callback, At: at, Retry: retry})
		return nil
	})
}

func (d *desk) findLetter(ctx context.Context, w *whereabouts) error {
	letters, err := d.letters(ctx, selection{code: "*", id: w.ID})
	if len(letters) > 0 {
		w.DeadLetter = &letters[len(letters)-1]
	}
	return err
}

func (d *desk) findCancel(ctx context.Context, w *whereabouts) error {
	s, err := d.stream(ctx, d.names.CancelsStream())
	if err != nil {
		return err
	}
	m, err := d.last(ctx, s, d.names.Cancel(w.ID))
	if m != nil {
		at := m.Time.UTC()
		w.CancelledAt = &at
	}
	return err
}

// queueName is where a queue lies.
type queueName struct{ stream, subject string }

// findQueued looks through a queue from its beginning: messages are not stored
// under their request_id.
func (d *desk) findQueued(ctx context.Context, w *whereabouts, q queueName, most int) error {
	s, err := d.stream(ctx, q.stream)
	if err != nil {
		return err
	}
	depth, err := d.depth(ctx, q.stream)
	if err != nil {
		return err
	}
	rules, waiting := d.config.Rules(0), 0
	for sequence, n := uint64(1), 0; n < most; n++ {
		m, err := d.next(ctx, s, sequence, q.subject)
		if m == nil || err != nil {
			return err
		}
		sequence = m.Sequence + 1
		if bytes.Contains(bytes.ToLower(m.Data), []byte(w.ID)) {
			if r, _ := rules.Decode(m.Data, m.Time); events.CanonicalID(r.ID) == w.ID {
				w.Queued = append(w.Queued, queuedSeen{Message: fmt.Sprintf("%s/%d", q.stream, m.Sequence), At: m.Time.UTC(), Delivered: m.Sequence <= depth.Delivered, Ahead: waiting})
			}
		}
		if m.Sequence > depth.Delivered {
			waiting++
		}
	}
	if most > 0 && uint64(most) < s.CachedInfo().State.Msgs {
		return fmt.Errorf("only the first %d messages of %s were looked through (--scan)", most, q.stream)
	}
	return nil
}

// text is the whereabouts as a person reads them.
func (w *whereabouts) text() []byte {
	var b bytes.Buffer
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-12s%s\n", name, plain(fmt.Sprintf(format, args...)))
	}
	row("request", "%s", w.ID)
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
			row("at work", "by instance %s on %s since %s (message %s, start %d)", c.Instance, host(c.Hostname), since(c.Since), c.Message, c.Starts)
		}
	}
	for _, l := range w.Later {
		row("waits", "until %s, to be tried again (retry %d); answer to %s", since(l.At), l.Retry, l.Callback)
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

func host(name string) string {
	if name == "" {
		return "a host that did not answer"
	}
	return name
}
