package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"sync"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// Totals calls each with every counter of a stream that a filter matches, what it is, and
// the sequence of its last increment. A copy of the stream that lags may answer. Errors:
// ErrDenied, ErrNoAnswer, nats.ErrNoResponders where there is no such stream, those of an
// answer that lacks something.
func (c *Conn) Totals(ctx context.Context, stream, filter string, each func(counter string, total int64, sequence uint64)) error {
	body, err := json.Marshal(map[string]any{"multi_last": []string{filter}, "max_bytes": lastsMaxBytes})
	if err != nil {
		return err
	}
	if err := c.mux.open(c.Conn); err != nil {
		return err
	}
	type counter struct {
		subject  string
		total    int64
		sequence uint64
	}
	var mu sync.Mutex // an answer may come after ctx has ended
	var all []counter
	var last *nats.Msg
	var broken error
	done := make(chan error, 1)
	a := &lastsAnswer{done: func(err error) { done <- err }, got: func(f found) {
		total, err := readCounter(last.Data)
		mu.Lock()
		defer mu.Unlock()
		all, broken = append(all, counter{f.subject, total, f.sequence}), errors.Join(broken, err)
	}}
	c.mux.ask(&nats.Msg{Subject: c.api("DIRECT.GET." + stream), Data: body}, func(m *nats.Msg, err error) bool {
		last = m
		return a.take(m, err)
	})
	select {
	case err = <-done:
	case <-ctx.Done():
		return context.Cause(ctx)
	}
	mu.Lock()
	defer mu.Unlock()
	if err = errors.Join(err, broken); err != nil {
		return fmt.Errorf("counters %s: %w", filter, err)
	}
	for _, one := range all {
		each(one.subject, one.total, one.sequence)
	}
	return nil
}

// readCounter reads the body of a counter's message, which the server writes. Errors:
// errNotAll.
func readCounter(data []byte) (int64, error) {
	var body struct {
		Value string `json:"val"`
	}
	if err := json.Unmarshal(data, &body); err != nil {
		return 0, fmt.Errorf("%w: no counter: %w", errNotAll, err)
	}
	total, err := strconv.ParseInt(body.Value, 10, 64)
	if err != nil {
		return 0, fmt.Errorf("%w: no counter: %w", errNotAll, err)
	}
	return total, nil
}

// Totals is Conn's, of the counters of money.
func (b *Bus) Totals(ctx context.Context, filter string, each func(counter string, total int64, sequence uint64)) error {
	return b.conn.Totals(ctx, b.names.BudgetsStream(), filter, each)
}

// BudgetsReady makes sure of the stream of the counters of money, making it if it is
// missing and may be made. Errors: ErrTopology, *jetstream.APIError, ErrDenied, those of
// the connection.
func (b *Bus) BudgetsReady(ctx context.Context) error {
	ctx, cancel := context.WithTimeoutCause(ctx, requestTimeout, ErrNoAnswer)
	defer cancel()
	var have jetstream.StreamConfig
	err := b.conn.Do(ctx, "."+b.budgets.Name, func(ctx context.Context) (err error) {
		have, err = ensureStream(ctx, b.conn.JetStream, b.budgets, b.provisions)
		return err
	})
	switch {
	case err != nil:
		return err
	case !have.AllowMsgCounter:
		return fmt.Errorf("%w: stream %s has no counters (allow_msg_counter): delete it, then run `gemini-client provision`", ErrTopology, have.Name)
	case have.Duplicates < idsKept:
		return fmt.Errorf("%w: stream %s forgets after %s which increments it has counted: want %s", ErrTopology, have.Name, have.Duplicates, idsKept)
	}
	return nil
}

// Life returns how often this process's heartbeat has expired so far, as far as this
// process can know, and whether it is there. While it is there and the number stays the
// same no other process has found it gone.
func (b *Bus) Life() (lapses int, alive bool) { return b.heartbeat.life() }

// IsDead reports whether another process is surely dead. Errors: ErrRefused, ctx's cause.
func (b *Bus) IsDead(ctx context.Context, instance string) (bool, error) {
	lives, err := b.heartbeat.of(ctx, instance)
	return err == nil && lives == gone, err
}

// life returns how often the heartbeat has expired, and whether it is there. The server
// ends it no sooner than its life after the renewal began.
func (h *heartbeat) life() (lapses int, alive bool) {
	h.mu.Lock()
	defer h.mu.Unlock()
	return h.lapses, !h.renewed.IsZero() && time.Since(h.renewed) < min(h.ttl, wholeTTL(h.ttl))
}
