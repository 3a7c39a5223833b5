package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"maps"
	"slices"
	"strings"
	"time"

	"gemini-client/cmd/gemini-client/ui"
	"gemini-client/events"
	"gemini-client/service/bus"
)

// uiTime bounds what one page reads.
const uiTime = 15 * time.Second

// uiSource reads for the pages what the commands read.
type uiSource struct {
	a        *adminClient // of the pages, which are asked for concurrently
	overview *adminClient // of the overview, which remembers what it has summed
}

// newUISource shares the client's connection. What the commands tell a terminal meanwhile,
// such as how far they have read, nobody sees.
func newUISource(a *adminClient) uiSource {
	pages, overview := *a, *a
	pages.err, overview.err = io.Discard, io.Discard
	return uiSource{a: &pages, overview: &overview}
}

// Overview is what status shows.
func (s uiSource) Overview(ctx context.Context) (ui.Overview, error) {
	o := s.overview.look(ctx)
	v := ui.Overview{At: o.Time, Workers: o.Workers, Unseen: o.Unseen}
	for _, q := range []struct {
		name  string
		state *queueState
	}{{s.a.names.RequestQueue, o.Requests}, {s.a.names.Retries(), o.Retries}} {
		if q.state != nil {
			v.Queues = append(v.Queues, ui.Queue{Name: q.name, Waiting: q.state.Waiting, InFlight: q.state.InFlight, OldestAt: q.state.OldestAt, PausedUntil: q.state.PausedUntil})
		}
	}
	for _, l := range o.Lanes {
		v.Queues = append(v.Queues, ui.Queue{Name: l.Tenant + ", " + string(l.Lane), Waiting: l.Waiting, InFlight: l.InFlight, PausedUntil: l.PausedUntil})
	}
	if o.Scheduled != nil {
		v.Scheduled, v.NextAt = o.Scheduled.Waiting, o.Scheduled.NextAt
	}
	if o.DeadLetters != nil {
		v.Dead = o.DeadLetters.Total
		for _, code := range slices.Sorted(maps.Keys(o.DeadLetters.ByCode)) {
			v.DeadLetters = append(v.DeadLetters, ui.Count{Name: code, N: o.DeadLetters.ByCode[code]})
		}
	}
	for _, b := range o.Batches {
		v.Batches = append(v.Batches, ui.Batch{ID: cmp.Or(plain(b.ID), b.Job), Model: plain(b.Model), Requests: b.Requests, Since: b.Since})
	}
	if o.Spent != nil {
		v.SpentHour, v.SpentDay = costOf(o.Spent.Hour), costOf(o.Spent.Day)
	}
	return v, nil
}

func costOf(s *sums) *float64 {
	if s == nil {
		return nil
	}
	return &s.Cost
}

// scoped is a client of its own for one question, about a tenant's requests.
func (s uiSource) scoped(ctx context.Context, tenant string) (*adminClient, error) {
	a := *s.a
	return &a, a.scope(ctx, tenant)
}

// Request is what status shows of one, and its results.
func (s uiSource) Request(ctx context.Context, id, tenant string) (ui.Request, error) {
	ctx, cancel := context.WithTimeout(ctx, uiTime)
	defer cancel()
	a, err := s.scoped(ctx, tenant)
	if err != nil {
		return ui.Request{}, err
	}
	w := a.find(ctx, id, statusScan)
	r := ui.Request{ID: w.ID, Tenant: w.Tenant, Known: w.known(), Unseen: w.Unseen, Steps: w.steps()}
	if w.DeadLetter != nil {
		r.DeadLetter = w.DeadLetter.Sequence
	}
	results, err := a.stream(ctx, a.names.ResponsesStream())
	if err != nil {
		return r, nil // it is among what was not seen
	}
	for _, answer := range w.Answers {
		m, err := a.at(ctx, results, answer.Sequence)
		if err != nil || m == nil {
			continue
		}
		if body, err := events.DecodeResult(m.Data); err == nil {
			r.Results = append(r.Results, ui.Result{Subject: answer.Subject, Sequence: answer.Sequence, At: answer.At, Body: body})
		}
		if parts := strings.Split(m.Header.Get("traceparent"), "-"); len(parts) == 4 && len(parts[1]) == 32 {
			r.TraceID = parts[1]
		}
	}
	return r, nil
}

// steps are what happened to a request, in the order of time.
func (w *requestState) steps() (steps []ui.Step) {
	add := func(at time.Time, open bool, name, format string, args ...any) {
		steps = append(steps, ui.Step{At: at, Open: open, Name: name, Text: plain(fmt.Sprintf(format, args...))})
	}
	for _, q := range w.Queued {
		if q.Delivered {
			add(q.At, true, "delivered", "stored as %s; a worker has it and has not settled it", q.Message)
		} else {
			add(q.At, true, "queued", "stored as %s; %d wait before it", q.Message, q.Ahead)
		}
	}
	for _, c := range w.Claims {
		if c.Alive {
			add(c.Since, true, "in flight", "on %s, instance %s, start %d", host(c.Hostname), c.Instance, c.Starts)
		} else {
			add(c.Since, true, "claimed", "by instance %s, which is gone: the next delivery takes it over", c.Instance)
		}
	}
	for _, l := range w.Schedules {
		if name, text := l.describe(); l.Batched.IsZero() {
			add(l.At, true, "waits until then", "put back for the %d. time; callback %s", l.Retry, l.Callback)
		} else {
			add(l.Batched, true, name, "%s", text)
		}
	}
	if w.CancelledAt != nil {
		add(*w.CancelledAt, false, "cancelled", "somebody cancelled it")
	}
	for _, a := range w.Answers {
		add(a.At, false, "answered", "on %s", a.Subject)
	}
	if l := w.DeadLetter; l != nil {
		add(l.Time, true, "dead letter", "%s: %s", l.Code, l.Reason)
	}
	slices.SortStableFunc(steps, func(x, y ui.Step) int { return x.At.Compare(y.At) })
	return steps
}

// Failures walks over the results since a time and keeps the newest failed ones.
func (s uiSource) Failures(ctx context.Context, f ui.Filter) (list []ui.Failure, err error) {
	ctx, cancel := context.WithTimeout(ctx, uiTime)
	defer cancel()
	if f.Since.IsZero() {
		f.Since = time.Now().Add(-24 * time.Hour)
	}
	err = s.a.conn.Walk(ctx, s.a.names.ResponsesStream(), f.Since, 0, func(w bus.Walked) bool {
		if one, ok := failure(w); ok && (f.Code == "" || one.Code == f.Code) && (f.Tenant == "" || one.Tenant == f.Tenant) {
			list = append(list, one)
			if len(list) > 2*f.Limit { // only the newest are kept
				list = slices.Clone(list[len(list)-f.Limit:])
			}
		}
		return true
	})
	slices.Reverse(list)
	if errors.Is(err, context.DeadlineExceeded) {
		err = fmt.Errorf("there are more results since %s than can be read in %s: look at a shorter time, or a request_id", clock(f.Since), uiTime)
	}
	return list[:min(len(list), f.Limit)], err
}

// failure reads a failed result; false for every other message.
func failure(w bus.Walked) (ui.Failure, bool) {
	_, verdict, id, ok := events.ParseResult(w.Subject)
	if !ok || verdict != events.VerdictFailed {
		return ui.Failure{}, false
	}
	var body struct {
		Error string      `json:"error"`
		Code  events.Code `json:"error_code"`
	}
	if json.Unmarshal(w.Data, &body) != nil {
		return ui.Failure{}, false
	}
	tenant, _ := events.TenantOf(w.Header)
	return ui.Failure{At: w.Time, ID: id, Tenant: tenant, Code: events.Code(plain(string(body.Code))), Error: plain(body.Error)}, true
}

// Spend is what usage --since shows, by model and by tenant.
func (s uiSource) Spend(ctx context.Context, since time.Duration) (v ui.Spend, err error) {
	ctx, cancel := context.WithTimeout(ctx, uiTime)
	defer cancel()
	now := time.Now()
	v.Since = now.Add(-since)
	for by, rows := range map[string]*[]ui.SpendRow{"model": &v.ByModel, "tenant": &v.ByTenant, "key": &v.ByKey} {
		sum, err := s.a.spending(ctx, v.Since, now, by)
		if errors.Is(err, context.DeadlineExceeded) {
			err = fmt.Errorf("there are more results since %s than can be read in %s: use gemini-client usage --since", clock(v.Since), uiTime)
		}
		if err != nil {
			return v, err
		}
		v.Total = spendRow("", sum.Total)
		for _, g := range sum.Groups {
			*rows = append(*rows, spendRow(sum.shownName(g.Name), g.sums))
		}
	}
	return v, nil
}

func spendRow(name string, s sums) ui.SpendRow {
	return ui.SpendRow{Name: name, Requests: s.Requests, Failures: s.Failures, Prompt: s.PromptTokens, Completion: s.CompletionTokens, Cost: s.Cost, Unknown: s.UnknownCost}
}
