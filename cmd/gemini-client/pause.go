package main

import (
	"context"
	"errors"
	"fmt"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"gemini-client/service/bus"
)

func pauseCommand(from *source, std streams) *cobra.Command {
	length := time.Hour
	cmd := &cobra.Command{
		Use:   "pause",
		Short: "Pause the intake of every worker for a while; requests wait in their queue",
		Long: `Pause the intake of every worker for a while. Calls in flight finish and their
results are stored; requests that come in wait in their queue. The intake resumes
by itself when the time is over, or with "gemini-client resume". A second pause
sets the time anew. Needs a NATS user that may pause consumers.`,
		Example: `  gemini-client pause --for 15m`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if length < time.Second {
				return fmt.Errorf("--for %s: want a second at least, such as 15m", length)
			}
			a, err := openAdminClient(cmd.Context(), from, std)
			if err != nil {
				return err
			}
			defer a.close()
			until := time.Now().Add(length)
			if err := a.setPause(cmd.Context(), until); err != nil {
				return err
			}
			a.printf("paused until %s\n", since(until))
			return nil
		},
	}
	cmd.Flags().DurationVar(&length, "for", length, "how long")
	return cmd
}

func resumeCommand(from *source, std streams) *cobra.Command {
	return &cobra.Command{
		Use:     "resume",
		Short:   "Resume the intake before a pause is over",
		Example: `  gemini-client resume`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := openAdminClient(cmd.Context(), from, std)
			if err != nil {
				return err
			}
			defer a.close()
			if err := a.setPause(cmd.Context(), time.Time{}); err != nil {
				return err
			}
			a.printf("the intake is open\n")
			return nil
		},
	}
}

// setPause pauses both queues, or resumes them if until is zero. An error of one
// does not keep it from trying the other.
func (a *adminClient) setPause(ctx context.Context, until time.Time) error {
	var errs []error
	for _, stream := range []string{a.names.RequestsStream(), a.names.RetriesStream()} {
		err := a.conn.Do(ctx, "."+stream, func(ctx context.Context) error {
			if until.IsZero() {
				_, err := a.js.ResumeConsumer(ctx, stream, bus.Durable)
				return err
			}
			r, err := a.js.PauseConsumer(ctx, stream, bus.Durable, until)
			if err == nil && !r.Paused {
				err = errors.New("the server did not pause it: NATS 2.11 or later can")
			}
			return err
		})
		if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
			err = fmt.Errorf("%w: has a service run against this server, or `gemini-client provision`?", err)
		}
		if err != nil {
			errs = append(errs, fmt.Errorf("consumer %s of %s: %w", bus.Durable, stream, err))
		}
	}
	return errors.Join(errs...)
}
