package main

import (
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/spf13/cobra"

	"gemini-client/service/bus"
	"gemini-client/service/tenant"
)

func tenantsCommand(from *source, std streams) *cobra.Command {
	cmd := &cobra.Command{
		Use:   "tenants",
		Short: "List, show, declare or remove tenants: their limits, weights and budgets",
		Long: `A tenant is whose requests come on a subject of its own, gemini.requests.NAME, or
gemini.requests.NAME.batch for the slow lane. It exists once it is declared: until
then NATS refuses what is published for it. What is declared of it is a record in
the key-value bucket GEMINI_TENANTS, which every worker hears of, without a restart.
Requests on gemini.requests are those of the tenant "default".`,
		Example: `  gemini-client tenants set acme --weight 3 --requests-per-minute 600 --budget 5/day,100/month
  gemini-client tenants list`,
	}
	cmd.AddCommand(tenantsListCommand(from, std), tenantsShowCommand(from, std), tenantsSetCommand(from, std), tenantsRemoveCommand(from, std))
	return cmd
}

// onTenants runs something with the declared tenants.
func (s *source) onTenants(ctx context.Context, std streams, do func(*adminClient, *bus.Declarations) error) error {
	a, err := openAdminClient(ctx, s, std)
	if err != nil {
		return err
	}
	defer a.close()
	return do(a, bus.NewDeclarations(a.config, a.conn))
}

func tenantsListCommand(from *source, std streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:     "list",
		Short:   "List the declared tenants, and how many requests of each wait in either lane",
		Example: `  gemini-client tenants list --json | jq -r .name`,
		Args:    cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			return from.onTenants(cmd.Context(), std, func(a *adminClient, d *bus.Declarations) error {
				list, err := tenantList(cmd.Context(), d)
				if err != nil {
					return err
				}
				return a.printTenants(list, asJSON)
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "one JSON object a line")
	return cmd
}

func tenantsShowCommand(from *source, std streams) *cobra.Command {
	var asJSON bool
	cmd := &cobra.Command{
		Use:               "show NAME",
		Short:             "Show what is declared of a tenant, and how full its queues are",
		Example:           `  gemini-client tenants show acme`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: from.tenantNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return from.onTenants(cmd.Context(), std, func(a *adminClient, d *bus.Declarations) error {
				one, err := d.Get(cmd.Context(), args[0])
				if err != nil {
					return a.undeclared(err)
				}
				depths, err := d.Depths(cmd.Context())
				if err != nil {
					return err
				}
				state := newTenantState(d, one, depths)
				if asJSON {
					return json.NewEncoder(a.out).Encode(state)
				}
				a.printTenant(state)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&asJSON, "json", false, "a JSON object")
	return cmd
}

// undeclared prints that there is no such tenant, for exit code 1. Another error is
// returned.
func (a *adminClient) undeclared(err error) error {
	if errors.Is(err, bus.ErrUndeclared) {
		return a.fail("%v", err)
	}
	return err
}

// tenantState is a declared tenant and its two queues.
type tenantState struct {
	Name string `json:"name"`
	tenant.Tenant
	Interactive *laneState `json:"interactive"` // null if the queue is not there
	Batch       *laneState `json:"batch"`
	ChangedAt   time.Time  `json:"changed_at"`
	Broken      string     `json:"broken,omitempty"` // why workers cannot use the record
}

// laneState is one queue of a tenant.
type laneState struct {
	Waiting     uint64     `json:"waiting"`
	InFlight    uint64     `json:"in_flight"`
	PausedUntil *time.Time `json:"paused_until"`
}

func newTenantState(d *bus.Declarations, one bus.Declared, depths map[string]bus.Depth) tenantState {
	interactive, slow := d.Lanes(one.Name, depths)
	s := tenantState{Name: one.Name, Tenant: one.Tenant, ChangedAt: one.Changed, Interactive: newLaneState(interactive), Batch: newLaneState(slow)}
	if one.Broken != nil {
		s.Broken = plain(one.Broken.Error())
	}
	return s
}

func newLaneState(d *bus.Depth) *laneState {
	if d == nil {
		return nil
	}
	return &laneState{d.Waiting, d.InFlight, d.PausedUntil}
}

func (l *laneState) String() string {
	if l == nil {
		return "is not there: gemini-client provision makes it"
	}
	text := fmt.Sprintf("%s waiting, %s in flight", humanize.Comma(int64(l.Waiting)), humanize.Comma(int64(l.InFlight))) //nolint:gosec // counts
	if l.PausedUntil != nil {
		text += ", paused until " + since(*l.PausedUntil)
	}
	return text
}

// waiting is for a table.
func (l *laneState) waiting() string {
	if l == nil {
		return "-"
	}
	return humanize.Comma(int64(l.Waiting)) //nolint:gosec // a count
}

func tenantList(ctx context.Context, d *bus.Declarations) (list []tenantState, err error) {
	all, err := d.List(ctx)
	if err != nil || len(all) == 0 {
		return nil, err
	}
	depths, err := d.Depths(ctx)
	for _, one := range all {
		list = append(list, newTenantState(d, one, depths))
	}
	return list, err
}

func (a *adminClient) printTenants(list []tenantState, asJSON bool) error {
	if asJSON {
		lines := json.NewEncoder(a.out)
		for _, one := range list {
			if err := lines.Encode(one); err != nil {
				return err
			}
		}
		return nil
	}
	if len(list) == 0 {
		a.printf("no tenants are declared\n")
		return nil
	}
	w := tabwriter.NewWriter(a.out, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "TENANT\tWEIGHT\tIN FLIGHT\tREQUESTS/MIN\tTOKENS/MIN\tBUDGET\tWAITING\tIN BATCH\tNOTE")
	for _, one := range list {
		_, _ = fmt.Fprintf(w, "%s\t%d\t%s\t%s\t%s\t%s\t%s\t%s\t%s\n", one.Name, one.Weight, limit(one.MaxInFlight), limit(one.RequestsPerMinute), limit(one.TokensPerMinute),
			budgetOf(one.Tenant), one.Interactive.waiting(), one.Batch.waiting(), cmp.Or(broken(one), shorten(plain(one.Note), reasonShown)))
	}
	return w.Flush()
}

func broken(one tenantState) string {
	if one.Broken == "" {
		return ""
	}
	return "CANNOT BE USED: " + one.Broken
}

// limit is for people.
func limit(n int) string {
	if n == 0 {
		return "-"
	}
	return humanize.Comma(int64(n))
}

func budgetOf(t tenant.Tenant) string {
	if t.Budget.IsZero() {
		return "-"
	}
	return t.Budget.String() + " (then " + string(cmp.Or(t.WhenSpent, tenant.Hold)) + ")"
}

func (a *adminClient) printTenant(one tenantState) {
	row := func(name, text string) { a.printf("%-21s%s\n", name, plain(text)) }
	row("tenant", one.Name)
	if one.Broken != "" {
		row("CANNOT BE USED", one.Broken)
	}
	row("weight", strconv.Itoa(one.Weight))
	row("max in flight", limit(one.MaxInFlight))
	row("requests per minute", limit(one.RequestsPerMinute))
	row("tokens per minute", limit(one.TokensPerMinute))
	row("budget", budgetOf(one.Tenant))
	row("models", cmp.Or(strings.Join(one.Models, ", "), "all of MODELS_ALLOW"))
	row("batch only", yesNo(one.BatchOnly))
	row("isolated", yesNo(one.Isolated))
	row("note", cmp.Or(one.Note, "-"))
	row("changed", since(one.ChangedAt))
	row("interactive", one.Interactive.String())
	row("batch", one.Batch.String())
}

func yesNo(b bool) string {
	if b {
		return "yes"
	}
	return "no"
}

// tenantNames suggests those that are declared. Where NATS does not answer there are none.
func (s *source) tenantNames(cmd *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
	if len(args) == 0 {
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		_ = s.onTenants(ctx, streams{out: io.Discard, err: io.Discard}, func(_ *adminClient, d *bus.Declarations) error {
			all, err := d.List(ctx)
			for _, one := range all {
				names = append(names, cobra.CompletionWithDesc(one.Name, plain(one.Note)))
			}
			return err
		})
	}
	return names, cobra.ShellCompDirectiveNoFileComp
}
