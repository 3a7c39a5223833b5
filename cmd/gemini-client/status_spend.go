package main

import (
	"context"
	"fmt"
	"time"

	"github.com/dustin/go-humanize"

	"gemini-client/service/bus"
)

// Bounds of what status reads to say what was spent: it has to answer at once, also where
// a day has a million results. Counters would cost less and know less: budgets count
// calendar days, and only where there are budgets; workers forget with every restart.
const (
	spentResults = 10_000
	spentBytes   = 16 << 20
	spentAgain   = 30 * time.Second // with --watch, what was read is shown so long
)

// spentState is what the results of the last hour and day say. What has too many results
// to read is null.
type spentState struct {
	Hour *sums `json:"hour"`
	Day  *sums `json:"day"`

	at time.Time
}

func (a *adminClient) readSpent(ctx context.Context, o *overview) error {
	if s := a.spentBefore; s != nil && o.Time.Sub(s.at) < spentAgain {
		o.Spent = s
		return nil
	}
	if _, err := a.stream(ctx, a.names.ResponsesStream()); err != nil {
		return err
	}
	s, err := a.spent(ctx, o.Time, spentBounds{spentResults, spentBytes})
	if err == nil {
		o.Spent, a.spentBefore = s, s
	}
	return err
}

// spentBounds is how many results are read, and bytes of them.
type spentBounds struct{ results, bytes uint64 }

// spent sums the results of the last day, or of the last hour where those of a day are too
// many.
func (a *adminClient) spent(ctx context.Context, now time.Time, most spentBounds) (*spentState, error) {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	s := &spentState{at: now}
	for _, period := range []time.Duration{24 * time.Hour, time.Hour} {
		hour, all, err := a.spentSince(ctx, now, period, most)
		if err != nil {
			return nil, err
		}
		if s.Hour = hour; hour == nil {
			continue
		}
		if period > time.Hour {
			s.Day = all
		}
		break
	}
	return s, nil
}

// spentSince sums the results of a period that ends now, and those of its last hour; nil
// if there are too many.
func (a *adminClient) spentSince(ctx context.Context, now time.Time, period time.Duration, most spentBounds) (hour, all *sums, err error) {
	ofHour, ofAll := newSpending(now.Add(-time.Hour), now, ""), newSpending(now.Add(-period), now, "")
	var results, bytes uint64
	tooMany := false
	err = a.conn.Walk(ctx, a.names.ResponsesStream(), ofAll.Since, 0, func(w bus.Walked) bool {
		results, bytes = results+1, bytes+uint64(len(w.Data))
		if tooMany = bytes > most.bytes || results+w.Left > most.results; tooMany {
			return false
		}
		ofAll.add(w)
		if !w.Time.Before(ofHour.Since) {
			ofHour.add(w)
		}
		return true
	})
	if err != nil || tooMany {
		return nil, nil, err
	}
	return &ofHour.Total, &ofAll.Total, nil
}

func (s *spentState) String() string {
	const way = "`gemini-client usage --since "
	switch {
	case s.Hour == nil:
		return fmt.Sprintf("too many results in the last hour to sum them here: %s1h`", way)
	case s.Day == nil:
		return fmt.Sprintf("%s in the last hour; too many results in the last day to sum them here: %s24h`", s.Hour.spent(), way)
	}
	return fmt.Sprintf("%s in the last hour, %s in the last day", s.Hour.spent(), s.Day.spent())
}

// spent says what was spent for how many requests.
func (s *sums) spent() string {
	text := fmt.Sprintf("%s USD (requests: %s", amount(&s.Cost), humanize.Comma(s.Requests))
	if s.Failures > 0 {
		text += ", failed: " + humanize.Comma(s.Failures)
	}
	if s.UnknownCost > 0 {
		text += ", of unknown cost: " + humanize.Comma(s.UnknownCost)
	}
	return text + ")"
}
