package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"gemini-client/events"
)

// deadLetter is a dead letter without its body.
type deadLetter struct {
	Sequence  uint64      `json:"sequence"`
	Time      time.Time   `json:"time"`
	Code      events.Code `json:"code"`
	RequestID string      `json:"request_id"` // empty if the message has no usable one
	From      string      `json:"from"`       // <stream>/<sequence> it was taken from
	Reason    string      `json:"reason"`
	Tenant    string      `json:"tenant"`
	Lane      events.Lane `json:"lane"`
}

// newDeadLetter reads a dead letter from its subject and headers.
func (a *adminClient) newDeadLetter(subject string, header map[string][]string, sequence uint64, at time.Time) deadLetter {
	code, id, _ := strings.Cut(strings.TrimPrefix(subject, strings.TrimSuffix(a.names.DeadlettersAll(), ">")), ".")
	if !events.ValidID(id) {
		id = ""
	}
	one := func(name string) string { return plain(strings.Join(header[name], " ")) }
	tenant, lane := events.TenantOf(header)
	return deadLetter{Tenant: tenant, Lane: lane, Sequence: sequence, Time: at.UTC(), Code: events.Code(plain(code)), RequestID: id, From: one(events.HeaderMsgID), Reason: one(events.HeaderReason)}
}

// String is the dead letter in one line.
func (l deadLetter) String() string {
	return fmt.Sprintf("%-6d %s  %s", l.Sequence, cmp.Or(l.RequestID, "(no usable id)"), l.Code)
}

// deadLetterFilter holds the flags that select dead letters.
type deadLetterFilter struct {
	code, id, since, before string
	tenant                  string
	limit                   int
	all                     bool
}

func (f *deadLetterFilter) flags(flags *pflag.FlagSet, limit int) {
	flags.StringVar(&f.code, "code", "", "with this failure code, such as upstream_timeout")
	flags.StringVar(&f.id, "id", "", "of this request_id")
	flags.StringVar(&f.tenant, "tenant", "", "of this tenant's requests")
	flags.StringVar(&f.since, "since", "", "not older than: a duration such as 2h, or a time such as 2026-01-31T08:00:00Z")
	flags.StringVar(&f.before, "before", "", "older than: a duration such as 2h, or a time such as 2026-01-31T08:00:00Z")
	flags.IntVar(&f.limit, "limit", limit, "at most so many, the oldest first; 0 = all")
}

// completes has the flags of a command completed.
func (f *deadLetterFilter) completes(cmd *cobra.Command, from *source) {
	completes(cmd, "code", only(codes))
	completes(cmd, "id", from.deadLetterNames(0, false))
	completes(cmd, "tenant", only(func() []string { return nil }))
}

// addAll adds the flag --all, for commands that change something.
func (f *deadLetterFilter) addAll(flags *pflag.FlagSet) {
	flags.BoolVar(&f.all, "all", false, "every dead letter")
}

func (f *deadLetterFilter) empty() bool { return f.code+f.id+f.since+f.before+f.tenant == "" }

// check refuses a command that changes something unless it has a selection.
func (f *deadLetterFilter) check(args []string) error {
	filtered := !f.empty() || f.all
	switch {
	case len(args) > 0 && filtered:
		return errors.New("name dead letters or give filters, not both")
	case len(args) == 0 && !filtered:
		return errors.New("nothing is selected: give sequences or request_ids, filters (--code, --since, --before, --id, --tenant), or --all")
	}
	_, err := f.selection(time.Now())
	return err
}

// act checks the filter, opens a client and does something with the dead letters
// that the filter and the arguments select.
func (f *deadLetterFilter) act(ctx context.Context, args []string, open func(context.Context) (*adminClient, error), do func(context.Context, *adminClient, []deadLetter) error) error {
	if err := f.check(args); err != nil {
		return err
	}
	a, err := open(ctx)
	if err != nil {
		return err
	}
	defer a.close()
	deadLetters, err := a.selected(ctx, f, args)
	if err != nil {
		return err
	}
	return do(ctx, a, deadLetters)
}

// selection is a parsed filter.
type selection struct {
	code, id      string // subject tokens, * for any
	tenant        string // "" for any
	since, before time.Time
	limit         int
}

func (f *deadLetterFilter) selection(now time.Time) (selection, error) {
	s := selection{code: "*", id: "*", tenant: f.tenant, limit: f.limit}
	var errs []error
	if f.code != "" {
		s.code = f.code
		if !slices.Contains(events.Codes(), events.Code(f.code)) {
			errs = append(errs, fmt.Errorf("--code %q: want one of %v", f.code, events.Codes()))
		}
	}
	if f.id != "" {
		s.id = events.CanonicalID(f.id)
		if !events.ValidID(f.id) {
			errs = append(errs, fmt.Errorf("--id %q: want a UUID", f.id))
		}
	}
	if f.tenant != "" && !events.ValidTenant(f.tenant) {
		errs = append(errs, fmt.Errorf("--tenant %q: want 1 to 64 characters of A-Z, a-z, 0-9, _ and -", f.tenant))
	}
	if f.limit < 0 {
		errs = append(errs, fmt.Errorf("--limit %d: want 0 or more", f.limit))
	}
	var err error
	if s.since, err = moment("--since", f.since, now); err != nil {
		errs = append(errs, err)
	}
	if s.before, err = moment("--before", f.before, now); err != nil {
		errs = append(errs, err)
	}
	return s, errors.Join(errs...)
}

// moment parses a duration before now, in Go's units or days (7d), or a time; the zero time if text is empty.
func moment(flag, text string, now time.Time) (time.Time, error) {
	if text == "" {
		return time.Time{}, nil
	}
	if days, ok := strings.CutSuffix(text, "d"); ok {
		if n, err := strconv.ParseUint(days, 10, 16); err == nil {
			return now.Add(-time.Duration(n) * 24 * time.Hour), nil
		}
	}
	if ago, err := time.ParseDuration(text); err == nil && ago >= 0 {
		return now.Add(-ago), nil
	}
	if at, err := time.Parse(time.RFC3339, text); err == nil {
		return at, nil
	}
	return time.Time{}, fmt.Errorf("%s %q: want a duration such as 2h or 7d (before now) or a time such as 2026-01-31T08:00:00Z", flag, text)
}

// deadLetters returns the dead letters of a selection that are stored now, the oldest
// first. Bodies, and with them prompts, stay on the server.
func (a *adminClient) deadLetters(ctx context.Context, s selection) (found []deadLetter, err error) {
	stream := a.names.DeadlettersStream()
	if _, err := a.stream(ctx, stream); err != nil {
		return nil, err
	}
	config := jetstream.OrderedConsumerConfig{
		FilterSubjects: []string{strings.TrimSuffix(a.names.DeadlettersAll(), ">") + s.code + "." + s.id},
		DeliverPolicy:  jetstream.DeliverAllPolicy, HeadersOnly: true,
	}
	if !s.since.IsZero() {
		config.DeliverPolicy, config.OptStartTime = jetstream.DeliverByStartTimePolicy, &s.since
	}
	var consumer jetstream.Consumer
	err = a.conn.Do(ctx, "."+stream, func(ctx context.Context) error {
		consumer, err = a.js.OrderedConsumer(ctx, stream, config)
		return err
	})
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", stream, err)
	}
	if consumer.CachedInfo().NumPending == 0 {
		return nil, nil
	}
	messages, err := consumer.Messages()
	if err != nil {
		return nil, fmt.Errorf("read stream %s: %w", stream, err)
	}
	defer messages.Stop()
	return a.readSelected(ctx, messages, s)
}

func (a *adminClient) readSelected(ctx context.Context, messages jetstream.MessagesContext, s selection) (found []deadLetter, err error) {
	for s.limit == 0 || len(found) < s.limit {
		var m jetstream.Msg
		var meta *jetstream.MsgMetadata
		err := a.conn.Do(ctx, "."+a.names.DeadlettersStream(), func(ctx context.Context) error {
			if m, err = messages.Next(jetstream.NextContext(ctx)); err != nil {
				return err
			}
			meta, err = m.Metadata()
			return err
		})
		if err != nil {
			return nil, fmt.Errorf("read stream %s: %w", a.names.DeadlettersStream(), err)
		}
		if !s.before.IsZero() && !meta.Timestamp.Before(s.before) {
			break
		}
		if l := a.newDeadLetter(m.Subject(), m.Headers(), meta.Sequence.Stream, meta.Timestamp); s.tenant == "" || l.Tenant == s.tenant {
			found = append(found, l)
		}
		if meta.NumPending == 0 {
			break
		}
	}
	return found, nil
}

// named returns the dead letters that arguments name: one for a sequence, all of a
// request_id. The error is errFailed if an argument names none.
func (a *adminClient) named(ctx context.Context, args []string) (found []deadLetter, err error) {
	stream, err := a.stream(ctx, a.names.DeadlettersStream())
	if err != nil {
		return nil, err
	}
	for _, arg := range args {
		var some []deadLetter
		if events.ValidID(arg) {
			some, err = a.deadLetters(ctx, selection{code: "*", id: events.CanonicalID(arg)})
		} else {
			some, err = a.numbered(ctx, stream, arg)
		}
		if err != nil {
			return nil, err
		}
		if len(some) == 0 {
			return nil, a.fail("there is no dead letter %s", arg)
		}
		found = append(found, some...)
	}
	return found, nil
}

func (a *adminClient) numbered(ctx context.Context, stream jetstream.Stream, arg string) ([]deadLetter, error) {
	sequence, err := strconv.ParseUint(arg, 10, 64)
	if err != nil || sequence == 0 {
		return nil, fmt.Errorf("%q is neither a dead letter's sequence nor a request_id", arg)
	}
	m, err := a.at(ctx, stream, sequence)
	if m == nil || err != nil {
		return nil, err
	}
	return []deadLetter{a.newDeadLetter(m.Subject, m.Header, m.Sequence, m.Time)}, nil
}

// selected returns the dead letters that a command works on: named or filtered.
func (a *adminClient) selected(ctx context.Context, f *deadLetterFilter, args []string) ([]deadLetter, error) {
	if len(args) > 0 {
		return a.named(ctx, args)
	}
	s, err := f.selection(time.Now())
	if err != nil {
		return nil, err
	}
	return a.deadLetters(ctx, s)
}
