package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"time"

	"github.com/spf13/cobra"

	"gemini-client/events"
)

// statusScan is how many messages of each queue are searched for a request.
const statusScan = 10_000

// statusOptions holds the flags of status.
type statusOptions struct {
	watch, json bool
	interval    time.Duration
	tenant      string
	scan        int
}

func statusCommand(from *source, std streams) *cobra.Command {
	var o statusOptions
	cmd := &cobra.Command{
		Use:   "status [ID]",
		Short: "Show the queues and every running worker, or where one request is",
		Long: `Show how many requests wait, are in flight or are scheduled for a retry, the dead
letters, the batches under way, what the results of the last hour and day cost, whether the intake
is paused, and the state of every running worker: circuit breaker, slots, keys and what OpenRouter
says is left of each. What this NATS user may not see is named.

With a request_id: whether the request is queued, in flight (where), scheduled
(for when), answered, cancelled or a dead letter. Exit code 1: nothing is known of
it.`,
		Example: `  gemini-client status --watch
  gemini-client status --json | jq .requests.waiting
  gemini-client status 0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a
  gemini-client status --tenant acme 0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a`,
		Args:              cobra.MaximumNArgs(1),
		ValidArgsFunction: from.deadLetterNames(1, false),
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := o.check(args); err != nil {
				return err
			}
			a, err := openAdminClient(cmd.Context(), from, std)
			if err != nil {
				return err
			}
			defer a.close()
			show := func(ctx context.Context) ([]byte, error) { return a.overview(ctx, o.json) }
			if len(args) > 0 {
				if err := a.scope(cmd.Context(), o.tenant); err != nil {
					return err
				}
				show = func(ctx context.Context) ([]byte, error) { return a.requestStatus(ctx, args[0], o) }
			}
			if o.watch {
				return a.watch(cmd.Context(), o.interval, isTerminal(std.out) && !o.json, show)
			}
			text, err := show(cmd.Context())
			_, _ = a.out.Write(text)
			return err
		},
	}
	f := cmd.Flags()
	f.BoolVar(&o.watch, "watch", false, "show it again and again, until Ctrl-C")
	f.DurationVar(&o.interval, "interval", 2*time.Second, "how often with --watch")
	f.BoolVar(&o.json, "json", false, "a JSON object (with --watch, one a line)")
	f.StringVar(&o.tenant, "tenant", "", "with ID: whose request it is; an isolated tenant has ids of its own")
	completes(cmd, "tenant", only(func() []string { return nil }))
	f.IntVar(&o.scan, "scan", statusScan, "with ID: search so many messages of each queue")
	return cmd
}

func (o statusOptions) check(args []string) error {
	var errs []error
	if o.interval <= 0 {
		errs = append(errs, fmt.Errorf("--interval %s: want more than 0, such as 2s", o.interval))
	}
	if o.tenant != "" && len(args) == 0 {
		errs = append(errs, errors.New("--tenant: give a request_id with it"))
	}
	if o.scan < 0 {
		errs = append(errs, fmt.Errorf("--scan %d: want 0 or more", o.scan))
	}
	if len(args) > 0 && !events.ValidID(args[0]) {
		errs = append(errs, fmt.Errorf("%q is no request_id: want a UUID such as 0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a", args[0]))
	}
	return errors.Join(errs...)
}

// clearScreen moves a terminal's cursor home and erases what is below.
const clearScreen = "\x1b[H\x1b[J"

// watch shows the state until ctx ends. It goes on while nothing is known of a
// request, which may be published meanwhile.
func (a *adminClient) watch(ctx context.Context, interval time.Duration, repaint bool, show func(context.Context) ([]byte, error)) error {
	tick := time.NewTicker(interval)
	defer tick.Stop()
	for {
		text, err := show(ctx)
		if ctx.Err() != nil {
			return nil
		}
		if err != nil && !errors.Is(err, errFailed) {
			return err
		}
		if repaint {
			text = append([]byte(clearScreen), text...)
		}
		_, _ = a.out.Write(text)
		select {
		case <-tick.C:
		case <-ctx.Done():
			return nil
		}
	}
}

func jsonLine(v any) ([]byte, error) {
	var b bytes.Buffer
	err := json.NewEncoder(&b).Encode(v)
	return b.Bytes(), err
}
