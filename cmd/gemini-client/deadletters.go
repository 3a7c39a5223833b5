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

// listed is how many dead letters a list shows unless told otherwise.
const listed = 100

// reasonShown is how much of a reason the table shows, in bytes.
const reasonShown = 120

func deadlettersCommand(configFile *string, std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "deadletters",
		Short: "List, show, replay or purge the originals of requests that failed for good",
		Long: `Requests that failed for a reason that can be mended are kept as dead letters:
the original message under its failure code. Look at them, mend the cause, and
replay them: the request is answered again under its own request_id.`,
		Example: `  gemini-client deadletters list --since 2h
  gemini-client deadletters show 17
  gemini-client deadletters replay --code insufficient_credits --dry-run
  gemini-client deadletters purge --before 168h`,
	}
	cmd.AddCommand(listCommand(configFile, std), showCommand(configFile, std), replayCommand(configFile, std), purgeCommand(configFile, std))
	return cmd
}

func listCommand(configFile *string, std streams) *cobra.Command {
	var f letterFilter
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
			d, err := openDesk(cmd.Context(), *configFile, std)
			if err != nil {
				return err
			}
			defer d.close()
			return d.list(cmd.Context(), s, asJSON)
		},
	}
	f.flags(cmd.Flags(), listed)
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

func (d *desk) list(ctx context.Context, s selection, asJSON bool) error {
	letters, err := d.letters(ctx, s)
	if err != nil {
		return err
	}
	if asJSON {
		lines := json.NewEncoder(d.out)
		for _, l := range letters {
			if err := lines.Encode(l); err != nil {
				return err
			}
		}
		return nil
	}
	if len(letters) == 0 {
		d.printf("no dead letters\n")
		return nil
	}
	w := tabwriter.NewWriter(d.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "SEQUENCE\tTIME\tCODE\tREQUEST_ID\tFROM\tREASON")
	for _, l := range letters {
		_, _ = fmt.Fprintf(w, "%d\t%s\t%s\t%s\t%s\t%s\n", l.Sequence, clock(l.Time), l.Code, cmp.Or(l.RequestID, "-"), l.From, shorten(l.Reason, reasonShown))
	}
	if err := w.Flush(); err != nil {
		return err
	}
	if s.limit > 0 && len(letters) == s.limit {
		_, _ = fmt.Fprintf(d.err, "only the oldest %d are shown; --limit 0 shows all\n", s.limit)
	}
	return nil
}

func shorten(s string, most int) string {
	if len(s) <= most {
		return s
	}
	return strings.ToValidUTF8(s[:most], "") + "…"
}

func purgeCommand(configFile *string, std streams) *cobra.Command {
	var f letterFilter
	var dryRun bool
	cmd := &cobra.Command{
		Use:   "purge [SEQUENCE|ID...]",
		Short: "Delete dead letters for good",
		Long: `Delete dead letters for good, prompts included; their results stay. It asks
nothing: look first with --dry-run.`,
		Example: `  gemini-client deadletters purge --before 168h --dry-run
  gemini-client deadletters purge 17 18`,
		RunE: func(cmd *cobra.Command, args []string) error {
			if err := f.check(args); err != nil {
				return err
			}
			d, err := openDesk(cmd.Context(), *configFile, std)
			if err != nil {
				return err
			}
			defer d.close()
			letters, err := d.chosen(cmd.Context(), &f, args)
			if err != nil {
				return err
			}
			return d.purge(cmd.Context(), letters, dryRun)
		},
	}
	f.flags(cmd.Flags(), 0)
	f.chooseAll(cmd.Flags())
	cmd.Flags().BoolVar(&dryRun, "dry-run", false, "only say what would be deleted")
	return cmd
}

func (d *desk) purge(ctx context.Context, letters []letter, dryRun bool) error {
	for n, l := range letters {
		if dryRun {
			d.printf("%s  would be deleted\n", l)
			continue
		}
		if err := d.erase(ctx, l.Sequence); err != nil {
			return fmt.Errorf("%d deleted, then dead letter %d: %w", n, l.Sequence, err)
		}
	}
	if dryRun {
		d.printf("%d would be deleted\n", len(letters))
		return nil
	}
	d.printf("%d deleted\n", len(letters))
	return nil
}

// erase deletes a dead letter and overwrites its bytes on disk: there is a
// prompt in it. One that is gone already is no error.
func (d *desk) erase(ctx context.Context, sequence uint64) error {
	stream, err := d.stream(ctx, d.names.DeadlettersStream())
	if err != nil {
		return err
	}
	err = d.conn.Do(ctx, "."+d.names.DeadlettersStream(), func(ctx context.Context) error {
		return stream.SecureDeleteMsg(ctx, sequence)
	})
	if err == nil {
		return nil
	}
	if m, lookErr := d.at(ctx, stream, sequence); lookErr == nil && m == nil {
		return nil
	}
	return err
}
