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
	var tenant string
	cmd := &cobra.Command{
		Use:   "pause",
		Short: "Pause the intake of every worker for a while; requests wait in their queue",
		Long: `Pause the intake of every worker for a while. Calls in flight finish and their
results are stored; requests that come in wait in their queue. The intake resumes
by itself when the time is over, or with "gemini-client resume". A second pause
sets the time anew. With --tenant only the queues of one tenant are paused; what is
waiting for a retry goes on. Needs a NATS user that may pause consumers.`,
		Example: `  gemini-client pause --for 15m
  gemini-client pause --tenant acme --for 2h`,
		Args: cobra.NoArgs,
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
			if err := a.setPause(cmd.Context(), tenant, until); err != nil {
				return a.undeclared(err)
			}
			a.printf("paused until %s\n", since(until))
			return nil
		},
	}
	cmd.Flags().DurationVar(&length, "for", length, "how long")
	from.tenantFlag(cmd, &tenant)
	return cmd
}

func resumeCommand(from *source, std streams) *cobra.Command {
	var tenant string
	cmd := &cobra.Command{
		Use:   "resume",
		Short: "Resume the intake before a pause is over",
		Example: `  gemini-client resume
  gemini-client resume --tenant acme`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			a, err := openAdminClient(cmd.Context(), from, std)
			if err != nil {
				return err
			}
			defer a.close()
			if err := a.setPause(cmd.Context(), tenant, time.Time{}); err != nil {
				return a.undeclared(err)
			}
			a.printf("the intake is open\n")
			return nil
		},
	}
	from.tenantFlag(cmd, &tenant)
	return cmd
}

func (s *source) tenantFlag(cmd *cobra.Command, tenant *string) {
	cmd.Flags().StringVar(tenant, "tenant", "", "only the queues of this tenant")
	completes(cmd, "tenant", func(cmd *cobra.Command, _ []string, typed string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return s.tenantNames(cmd, nil, typed)
	})
}

// setPause pauses every queue, or those of one tenant, or resumes them if until is zero. An
// error of one does not keep it from trying the others.
func (a *adminClient) setPause(ctx context.Context, tenant string, until time.Time) error {
	queues, err := a.queues(ctx, tenant)
	errs := []error{err}
	for _, q := range queues {
		errs = append(errs, a.pauseQueue(ctx, q, until))
	}
	return errors.Join(errs...)
}

// queues are the consumers of every queue, or of a tenant's.
func (a *adminClient) queues(ctx context.Context, tenant string) (queues []queueName, err error) {
	requests := a.names.RequestsStream()
	d := bus.NewDeclarations(a.config, a.conn)
	depths, err := d.Depths(ctx)
	if tenant != "" {
		if err != nil {
			return nil, fmt.Errorf("consumers of %s: %w", requests, err)
		}
		for _, consumer := range d.QueueNames(depths, tenant) {
			queues = append(queues, queueName{stream: requests, consumer: consumer})
		}
		if len(queues) == 0 {
			err = fmt.Errorf("%s %w", tenant, bus.ErrUndeclared)
		}
		return queues, err
	}
	for _, consumer := range d.QueueNames(depths, "") {
		queues = append(queues, queueName{stream: requests, consumer: consumer})
	}
	if len(queues) == 0 { // the answers say why
		err = nil
		queues = append(queues, queueName{stream: requests, consumer: bus.Durable})
	}
	return append(queues, queueName{stream: a.names.RetriesStream(), consumer: bus.Durable}), err
}

func (a *adminClient) pauseQueue(ctx context.Context, q queueName, until time.Time) error {
	err := a.conn.Do(ctx, "."+q.stream, func(ctx context.Context) error {
		if until.IsZero() {
			_, err := a.js.ResumeConsumer(ctx, q.stream, q.consumer)
			return err
		}
		r, err := a.js.PauseConsumer(ctx, q.stream, q.consumer, until)
		if err == nil && !r.Paused {
			err = errors.New("the server did not pause it: NATS 2.11 or later can")
		}
		return err
	})
	if errors.Is(err, jetstream.ErrConsumerNotFound) || errors.Is(err, jetstream.ErrStreamNotFound) {
		err = fmt.Errorf("%w: has a service run against this server, or `gemini-client provision`?", err)
	}
	if err != nil {
		return fmt.Errorf("consumer %s of %s: %w", q.consumer, q.stream, err)
	}
	return nil
}
