package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"time"

	"github.com/nats-io/nats.go"

	"gemini-client/service"
)

// Workers do not know of each other, so nobody knows how many will answer.
const (
	firstReply = time.Second            // how long the first may take
	nextReply  = 500 * time.Millisecond // how long another may take after one
)

func (d *desk) lookAtWorkers(ctx context.Context, o *overview) error {
	workers, err := d.workers(ctx)
	o.Workers = append(o.Workers, workers...)
	return err
}

// workers asks every running worker how it is.
func (d *desk) workers(ctx context.Context) (workers []service.WorkerStatus, err error) {
	subject := d.names.Status()
	inbox := d.conn.NewInbox()
	replies, err := d.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("workers: %w", err)
	}
	defer replies.Unsubscribe() //nolint:errcheck // it ends with the connection
	for wait := firstReply; ; wait = nextReply {
		var m *nats.Msg
		err := d.conn.Do(ctx, fmt.Sprintf("%q", subject), func(ctx context.Context) (err error) {
			if wait == firstReply {
				if err := d.conn.PublishRequest(subject, inbox, nil); err != nil {
					return err
				}
			}
			ctx, cancel := context.WithTimeout(ctx, wait)
			defer cancel()
			m, err = replies.NextMsgWithContext(ctx)
			return err
		})
		switch {
		case errors.Is(err, nats.ErrNoResponders), errors.Is(err, context.DeadlineExceeded):
			slices.SortFunc(workers, func(a, b service.WorkerStatus) int {
				return cmp.Or(cmp.Compare(a.Hostname, b.Hostname), a.Since.Compare(b.Since))
			})
			return workers, nil
		case err != nil:
			return workers, fmt.Errorf("workers: %w", err)
		}
		var w service.WorkerStatus
		if json.Unmarshal(m.Data, &w) == nil && w.Instance != "" {
			workers = append(workers, w)
		}
	}
}
