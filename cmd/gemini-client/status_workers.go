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

// Nobody knows how many workers there are, so the replies end with a pause.
const (
	firstReply = time.Second            // how long the first may take
	nextReply  = 500 * time.Millisecond // how long another may take after one
)

func (a *adminClient) readWorkers(ctx context.Context, o *overview) error {
	workers, err := a.workers(ctx)
	o.Workers = append(o.Workers, workers...)
	return err
}

// workers asks every running worker for its state.
func (a *adminClient) workers(ctx context.Context) (workers []service.WorkerStatus, err error) {
	subject := a.names.Status()
	inbox := a.conn.NewInbox()
	replies, err := a.conn.SubscribeSync(inbox)
	if err != nil {
		return nil, fmt.Errorf("workers: %w", err)
	}
	defer replies.Unsubscribe() //nolint:errcheck // it ends with the connection
	for wait := firstReply; ; wait = nextReply {
		var m *nats.Msg
		err := a.conn.Do(ctx, fmt.Sprintf("%q", subject), func(ctx context.Context) (err error) {
			if wait == firstReply {
				if err := a.conn.PublishRequest(subject, inbox, nil); err != nil {
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
			slices.SortFunc(workers, func(x, y service.WorkerStatus) int {
				return cmp.Or(cmp.Compare(x.Hostname, y.Hostname), x.Since.Compare(y.Since))
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
