package main

import (
	"cmp"
	"context"
	"encoding/json"
	"fmt"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/spf13/cobra"
)

// listed is how many dead letters a list shows by default.
const listed = 100

// reasonShown is how much of a reason the table shows, in bytes.
const reasonShown = 120

func deadlettersCommand(from *source, std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletters",
		Short: "List, show, replay or purge the originals of requests that failed for good",
		Long: `Requests that failed for a reason that can be fixed are kept as dead letters: the
original message under its failure code. Read them, fix the cause, and replay
them: the request is answered again under its own request_id.`,
		Example: `  gemini-client deadletters list --since 2h
  gemini-client deadletters show 17
  gemini-client deadletters replay --code insufficient_credits --dry-run
  gemini-client deadletters purge --before 168h`,
	}
	cmd.AddCommand(listCommand(from, std), showCommand(from, std), replayCommand(from, std), purgeCommand(from, std))
	return cmd
}

func listCommand(from *source, std streams) *cobra.Command {
	var f deadLetterFilter
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List dead letters, the oldest first",
		Example: `  gemini-client deadletters list --code upstream_timeout --since 2h --json | jq -r .request_id`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			s, err := f.selection(time.Now())
			if err != nil {
				return err
			}
			a, err := openAdminClient(cmd.Context(), from, std)
			if err != nil {
				return err
			}
			defer a.close()
			return a.list(cmd.Context(), s, asJSON)
		},
	}
	f.flags(cmd.Flags(), listed)
	f.completes(cmd, from)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

func (a *adminClient) list(ctx context.Context, s selection, asJSON bool) error {
	deadLetters, err := a.deadLetters(ctx, s)
	if err != nil {
		return err
	}
	if asJSON {
		lines := json.NewEncoder(a.out)
		for _, l := range deadLetters {
			if err := lines.Encode(l); err != nil {
				return err
			}
		}
		return nil
	}
	if len(deadLetters) == 0 {
		a.printf("no dead letters\n")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "SEQUENCE\tTIME\tTENANT\tCODE\tREQUEST_ID\tFROM\tREASON")
	for _, l := range deadLetters {
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\t%s\n", l.Sequence, clock(l.Time), l.Tenant, l.Code, cmp.Or(l.RequestID, "-"), l.From, shorten(l.Reason, reasonShown))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if s.limit > 0 && len(deadLetters) == s.limit {
		_, _ = fmt.Fprintf(a.err, "only the oldest %d are shown; --limit 0 shows all\n", s.limit)
	}
	return nil
}

func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func purgeCommand(from *source, std streams) *cobra.Command {
	var f deadLetterFilter
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "purge [SEQUENCE|ID...]",
		Short: "Delete dead letters for good",
		Long: `Delete dead letters for good, prompts included; their results stay. There is no
confirmation: use --dry-run first.`,
		Example: `  gemini-client deadletters purge --before 168h --dry-run
  gemini-client deadletters purge 17 18`,
		ValidArgsFunction: from.deadLetterNames(0, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			open := func(ctx context.Context) (*adminClient, error) { return openAdminClient(ctx, from, std) }
			return f.act(cmd.Context(), args, open, func(ctx context.Context, a *adminClient, deadLetters []deadLetter) error {
				return a.purge(ctx, deadLetters, dryRun)
			})
		},
	}
	f.flags(cmd.Flags(), 0)
	f.completes(cmd, from)
	f.addAll(cmd.Flags())
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only print what would be deleted")
	return cmd
}

func (a *adminClient) purge(ctx context.Context, deadLetters []deadLetter, dryRun bool) error {
	for n, l := range deadLetters {
		if dryRun {
			a.printf("%s  would be deleted\n", l)
			continue
		}
		if err := a.erase(ctx, l.Sequence); err != nil {
			return fmt.Errorf("%d deleted, then dead letter %d: %w", n, l.Sequence, err)
		}
	}
	if dryRun {
		a.printf("%d would be deleted\n", len(deadLetters))
		return nil
	}
	a.printf("%d deleted\n", len(deadLetters))
	return nil
}

// erase deletes a dead letter and overwrites its bytes on disk, because they hold
// a prompt. One that is gone already is no error.
func (a *adminClient) erase(ctx context.Context, sequence uint64) error {
	stream, err := a.stream(ctx, a.names.DeadlettersStream())
	if err != nil {
		return err
	}
	err = a.conn.Do(ctx, "."+a.names.DeadlettersStream(), func(ctx context.Context) error {
		return stream.SecureDeleteMsg(ctx, sequence)
	})
	if err == nil {
		return nil
	}
	if m, readErr := a.at(ctx, stream, sequence); readErr == nil && m == nil {
		return nil
	}
	return err
}
