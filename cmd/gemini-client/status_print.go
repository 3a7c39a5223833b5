package main

import (
	"bytes"
	"cmp"
	"fmt"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"

	"gemini-client/service"
	"gemini-client/service/upstream"
)

// text formats the overview for people.
func (o *overview) text() []byte {
	var b bytes.Buffer
	row := func(name, format string, args ...any) {
		fmt.Fprintf(&b, "%-13s%s\n", name, fmt.Sprintf(format, args...))
	}
	row("at", "%s", clock(o.Time))
	if o.Requests != nil {
		row("requests", "%s (stream: %s)", o.Requests, humanize.IBytes(o.Requests.Bytes))
	}
	for _, text := range o.busiestLanes() {
		row("tenant", "%s", text)
	}
	if o.Retries != nil {
		row("retries", "%s", o.Retries)
	}
	if o.Scheduled != nil {
		row("scheduled", "%s", o.Scheduled)
	}
	if o.DeadLetters != nil {
		row("dead letters", "%s", o.DeadLetters)
	}
	for _, d := range o.Batches {
		row("batch", "%s", batchLine(d))
	}
	if o.Spent != nil {
		row("spent", "%s", o.Spent)
	}
	row("intake", "%s", o.intake())
	if len(o.Workers) == 0 {
		row("workers", "none answered: is `gemini-client serve` running?")
	} else {
		row("workers", "%d", len(o.Workers))
	}
	for _, w := range o.Workers {
		fmt.Fprintf(&b, "  %s\n", workerLine(w))
		for i, key := range w.KeyList {
			fmt.Fprintf(&b, "    key %s\n", keyLine(i, key, o.Time))
		}
	}
	for _, m := range o.expiring() {
		row("model", "%s", plain(m.Text(o.Time)))
	}
	for _, text := range o.Unseen {
		row("not seen", "%s", text)
	}
	return b.Bytes()
}

func (q *queueState) String() string {
	text := fmt.Sprintf("%s waiting", humanize.Comma(int64(q.Waiting))) //nolint:gosec // a count
	if q.OldestAt != nil {
		text += fmt.Sprintf(" (the oldest since %s)", since(*q.OldestAt))
	}
	return fmt.Sprintf("%s, %s in flight", text, humanize.Comma(int64(q.InFlight))) //nolint:gosec // a count
}

func (s *scheduledState) String() string {
	text := humanize.Comma(int64(s.Waiting)) //nolint:gosec // a count
	if s.NextAt != nil {
		text += ", the next at " + since(*s.NextAt)
	}
	return text
}

func (l *deadLetterState) String() string {
	text := humanize.Comma(int64(l.Total)) //nolint:gosec // a count
	if len(l.ByCode) == 0 {
		return text
	}
	var parts []string
	for _, code := range slices.Sorted(maps.Keys(l.ByCode)) {
		parts = append(parts, fmt.Sprintf("%s %d", code, l.ByCode[code]))
	}
	return text + ": " + strings.Join(parts, ", ")
}

// intake says whether an operator has paused the queues; a worker may pause its own
// intake for other reasons.
func (o *overview) intake() string {
	var parts []string
	for _, q := range []struct {
		name  string
		state *queueState
	}{{"requests", o.Requests}, {"retries", o.Retries}} {
		switch {
		case q.state == nil:
			parts = append(parts, q.name+" not seen")
		case q.state.PausedUntil != nil:
			parts = append(parts, q.name+" paused until "+since(*q.state.PausedUntil))
		default:
			parts = append(parts, q.name+" open")
		}
	}
	if parts[0] == "requests open" && parts[1] == "retries open" {
		return "open"
	}
	return strings.Join(parts, "; ")
}

// expiring lists the models that any worker knows the end of, once each.
func (o *overview) expiring() []upstream.ModelExpiry {
	var list []upstream.ModelExpiry
	for _, w := range o.Workers {
		for _, m := range w.Expiring {
			if !slices.ContainsFunc(list, func(other upstream.ModelExpiry) bool { return other.Model == m.Model }) {
				list = append(list, m)
			}
		}
	}
	return list
}

func workerLine(w service.WorkerStatus) string {
	state := "ready, intake " + w.Intake
	if !w.Ready {
		state = "not ready: " + w.Why
	}
	var keys []string
	for _, name := range slices.Sorted(maps.Keys(w.Keys)) {
		if w.Keys[name] > 0 {
			keys = append(keys, fmt.Sprintf("%d %s", w.Keys[name], name))
		}
	}
	var alone strings.Builder
	for _, m := range w.Models {
		fmt.Fprintf(&alone, ", model %s %s", m.Model, m.State)
	}
	up := strings.TrimSpace(humanize.RelTime(w.Since, time.Now(), "", ""))
	return plain(fmt.Sprintf("%s  %s  version %s, up %s, %s; %d of %d slots in use, breaker %s, keys: %s%s",
		w.Instance, w.Hostname, cmp.Or(w.Version, "unknown"), up, state, w.InFlight, w.Slots, w.Breaker, cmp.Or(strings.Join(keys, ", "), "none"), alone.String()))
}

// keyLine says of one key whether it is used, and what OpenRouter told of it.
func keyLine(i int, key upstream.KeyStatus, now time.Time) string {
	name := "…" + key.End
	if key.End == "" {
		name = fmt.Sprint(i + 1) // of the list
	}
	parts := []string{key.State}
	if key.Until != nil && key.Until.After(now) {
		parts[0] += " until " + since(*key.Until)
	}
	if key.Remaining != nil {
		left := fmt.Sprintf("%.2f USD left", *key.Remaining)
		if key.Limit != nil {
			left = fmt.Sprintf("%.2f of %.2f USD left", *key.Remaining, *key.Limit)
		}
		if key.Reset != "" {
			left += " (" + key.Reset + ")"
		}
		parts = append(parts, left)
	}
	if key.ExpiresAt != nil {
		parts = append(parts, "expires "+since(*key.ExpiresAt))
	}
	return plain(name + "  " + strings.Join(parts, ", "))
}
