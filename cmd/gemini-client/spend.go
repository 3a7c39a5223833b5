package main

import (
	"context"
	"errors"
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"gemini-client/service/bus"
)

// spendOptions holds the flags of usage about results.
type spendOptions struct {
	since, by string
	json, csv bool
}

func (o *spendOptions) flags(cmd *cobra.Command) {
	f := cmd.Flags()
	f.StringVar(&o.since, "since", "", "sum the results that were stored since then: a duration such as 24h or 7d, or a time such as 2026-01-31T08:00:00Z")
	f.StringVar(&o.by, "by", "", "with --since: sum by "+strings.Join(dimensionNames(), ", "))
	f.BoolVar(&o.json, "json", false, "print JSON")
	f.BoolVar(&o.csv, "csv", false, "with --since: print CSV")
	cmd.MarkFlagsMutuallyExclusive("json", "csv")
	completes(cmd, "by", only(dimensionNames))
}

// check returns since when results are summed; the zero time if they are not.
func (o *spendOptions) check(now time.Time) (since time.Time, err error) {
	var errs []error
	if since, err = moment("--since", o.since, now); err != nil {
		errs = append(errs, err)
	} else if since.After(now) {
		errs = append(errs, fmt.Errorf("--since %q: lies in the future", o.since))
	}
	if o.by != "" && !slices.Contains(dimensionNames(), o.by) {
		errs = append(errs, fmt.Errorf("--by %q: want one of %s", o.by, strings.Join(dimensionNames(), ", ")))
	}
	if o.since == "" && (o.by != "" || o.csv) {
		errs = append(errs, errors.New("--by, --csv: give --since with them, such as --since 24h"))
	}
	return since, errors.Join(errs...)
}

// showSpending sums the results since a time, and prints what they tell.
func (a *adminClient) showSpending(ctx context.Context, o spendOptions, since, now time.Time) error {
	s, err := a.spending(ctx, since, now, o.by)
	if err != nil {
		return err
	}
	var text []byte
	switch {
	case o.json:
		text, err = jsonLine(s)
	case o.csv:
		text, err = s.csv()
	default:
		text = s.table()
	}
	if err != nil {
		return err
	}
	if _, err = a.out.Write(text); err != nil {
		return err
	}
	if !o.json {
		for _, note := range s.notes() {
			_, _ = fmt.Fprintln(a.err, note)
		}
	}
	return nil
}

// spending reads the results that are stored now, and keeps no more than their sums.
func (a *adminClient) spending(ctx context.Context, since, now time.Time, by string) (*spending, error) {
	stream, err := a.stream(ctx, a.names.ResponsesStream())
	if err != nil {
		return nil, err
	}
	s, state := newSpending(since, now, by), stream.CachedInfo().State
	s.OldestKept = oldestKept(state, since)
	if state.Msgs == 0 {
		return s, nil
	}
	p := a.newProgress()
	err = a.conn.Walk(ctx, a.names.ResponsesStream(), since, 0, func(w bus.Walked) bool {
		if w.Sequence > state.LastSeq { // it came meanwhile: this has to come to an end
			return false
		}
		s.add(w)
		p.read(w.Left)
		return w.Sequence < state.LastSeq
	})
	p.end()
	if err != nil {
		return nil, err
	}
	s.finish()
	return s, nil
}

// oldestKept returns the time of the oldest result that is kept, if older ones since that
// time may be gone; else nil.
func oldestKept(state jetstream.StreamState, since time.Time) *time.Time {
	switch {
	case state.FirstSeq <= 1 || state.Msgs > 0 && !state.FirstTime.After(since):
		return nil
	case state.Msgs == 0:
		return new(state.LastTime.UTC())
	}
	return new(state.FirstTime.UTC())
}

// progressEvery is after how many results it is told how many are read.
const progressEvery = 20_000

// progress tells a person at a terminal how far reading is.
type progress struct {
	a     *adminClient
	shown bool
	n     uint64
}

func (a *adminClient) newProgress() *progress { return &progress{a: a} }

func (p *progress) read(left uint64) {
	if p.n++; p.n%progressEvery == 0 && isTerminal(p.a.err) {
		p.shown = true
		_, _ = fmt.Fprintf(p.a.err, "\rread %d of %d results", p.n, p.n+left)
	}
}

// end takes the line away.
func (p *progress) end() {
	if p.shown {
		_, _ = fmt.Fprint(p.a.err, "\r\x1b[K")
	}
}
