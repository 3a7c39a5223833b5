package main

import (
	"context"
	"errors"
	"fmt"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"gemini-client/events"
)

func cancelCommand(from *source, std streams) *cobra.Command {
	var tenant string
	cmd := &cobra.Command{
		Use:   "cancel ID...",
		Short: "Cancel requests: waiting, in flight or scheduled",
		Long: `Cancel requests by their request_id. A call in flight is cut off. A request that is
scheduled for a retry is answered at once. One in the queue is answered without a
call when its turn comes. Each gets the failed result "cancelled", on every
callback. One that has its result already keeps it. The requests of an isolated tenant
are cancelled with --tenant alone.`,
		Example: `  gemini-client cancel 0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a
  gemini-client cancel --tenant acme 0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a`,
		Args: cobra.MinimumNArgs(1),
		RunE: func(cmd *cobra.Command, ids []string) error {
			for _, id := range ids {
				if !events.ValidID(id) {
					return fmt.Errorf("%q is no request_id: want a UUID such as 0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a; nothing was cancelled", id)
				}
			}
			a, err := openAdminClient(cmd.Context(), from, std)
			if err != nil {
				return err
			}
			defer a.close()
			if err := a.scope(cmd.Context(), tenant); err != nil {
				return err
			}
			return a.cancel(cmd.Context(), ids)
		},
	}
	cmd.Flags().StringVar(&tenant, "tenant", "", "whose requests they are: an isolated tenant has ids of its own")
	completes(cmd, "tenant", only(func() []string { return nil }))
	return cmd
}

func (a *adminClient) cancel(ctx context.Context, ids []string) error {
	for _, id := range ids {
		subject := a.names.Cancel(id)
		err := a.conn.Do(ctx, subject, func(ctx context.Context) error {
			_, err := a.js.Publish(ctx, subject, nil, jetstream.WithExpectStream(a.names.CancelsStream()))
			return err
		})
		if errors.Is(err, jetstream.ErrNoStreamResponse) {
			return fmt.Errorf("no stream takes %s: has a service run against this server, or `gemini-client provision`? (%w)", subject, err)
		}
		if err != nil {
			return fmt.Errorf("cancel %s: %w", id, err)
		}
		a.printf("%s  cancelled: unless it has its result already, it gets the failed result \"cancelled\" and no further call\n", events.CanonicalID(id))
	}
	return nil
}
