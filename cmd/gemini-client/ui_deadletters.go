package main

import (
	"cmp"
	"context"
	"errors"
	"maps"
	"slices"
	"strconv"

	"gemini-client/cmd/gemini-client/ui"
	"gemini-client/service/bus"
)

// DeadLetters is what deadletters list shows.
func (s uiSource) DeadLetters(ctx context.Context, f ui.Filter) ([]ui.DeadLetter, error) {
	ctx, cancel := context.WithTimeout(ctx, uiTime)
	defer cancel()
	found, err := s.a.deadLetters(ctx, selection{code: cmp.Or(string(f.Code), "*"), id: cmp.Or(f.ID, "*"), tenant: f.Tenant, since: f.Since, limit: f.Limit})
	if err != nil {
		return nil, err
	}
	list := make([]ui.DeadLetter, len(found))
	for i, l := range found {
		list[i] = shownInUI(l)
	}
	return list, nil
}

func shownInUI(l deadLetter) ui.DeadLetter {
	return ui.DeadLetter{Sequence: l.Sequence, At: l.Time, Code: l.Code, ID: l.RequestID, Tenant: l.Tenant, From: l.From, Reason: l.Reason}
}

// DeadLetter is what deadletters show --body shows.
func (s uiSource) DeadLetter(ctx context.Context, sequence uint64) (d ui.DeadLetterDetail, err error) {
	ctx, cancel := context.WithTimeout(ctx, uiTime)
	defer cancel()
	stream, err := s.a.stream(ctx, s.a.names.DeadlettersStream())
	if err != nil {
		return d, err
	}
	m, err := s.a.at(ctx, stream, max(sequence, 1))
	if err != nil {
		return d, err
	}
	if m == nil || sequence == 0 {
		return d, ui.ErrNotFound
	}
	d = ui.DeadLetterDetail{DeadLetter: shownInUI(s.a.newDeadLetter(m.Subject, m.Header, m.Sequence, m.Time)), Body: string(m.Data)}
	for _, name := range slices.Sorted(maps.Keys(m.Header)) {
		for _, value := range m.Header[name] {
			d.Header = append(d.Header, ui.Field{Name: plain(name), Value: plain(value)})
		}
	}
	if r, err := s.a.read(ctx, m.Header, m.Data, m.Time); err == nil {
		d.Model = plain(r.Model)
	}
	return d, nil
}

// Replay is what deadletters replay does.
func (s uiSource) Replay(ctx context.Context, sequences []uint64) (list []ui.Replayed, err error) {
	r, err := s.a.replayer(ctx, false)
	if err != nil {
		return nil, err
	}
	for _, sequence := range sequences {
		one := ui.Replayed{Sequence: sequence}
		found, err := s.a.numbered(ctx, r.dead, strconv.FormatUint(sequence, 10))
		switch {
		case err != nil:
		case len(found) == 0:
			one.Outcome = "skipped: it is gone"
		default:
			one.ID = found[0].RequestID
			_, one.Outcome, err = r.one(ctx, found[0])
		}
		if cannot := cannotError(""); errors.As(err, &cannot) {
			one.Failed, one.Outcome, err = true, "cannot be replayed: "+plain(string(cannot)), nil
		}
		if err != nil { // what was done is shown, and what was not
			one.Failed, one.Outcome = true, plain(err.Error())
			if errors.Is(err, bus.ErrDenied) {
				one.Outcome = "this NATS user may not replay: " + one.Outcome
			}
		}
		list = append(list, one)
	}
	return list, nil
}
