package main

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"strconv"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"gemini-client/service/budget"
	"gemini-client/service/tenant"
)

func usageCommand(from *source, std streams) *cobra.Command {
	var o spendOptions
	cmd := &cobra.Command{
		Use:   "usage",
		Short: "Show what is spent and reserved of each budget, and by whom; or what stored results cost",
		Long: `Show what is spent and reserved of each budget in this day, week and month (UTC),
and which workers hold what is reserved: what a worker that is gone holds is settled
by the others within seconds of its end (BUDGET_ON_DEATH). The budget of all tenants
together is that of this command's own BUDGET; where that is not set but something is
counted, the budget is shown as unknown.

With --since: what the stored results say of requests, failures, tokens and cost (USD),
by the time at which they were stored (UTC). A request counts once for each of its results:
a replay that follows a failure makes one more. A result's cost is that of all its calls;
of several keys it belongs to the one of the last call that cost something. Failed results
name no model. Results are kept for RESULTS_MAX_AGE.`,
		Example: `  gemini-client usage
  gemini-client usage --since 24h --by model
  gemini-client usage --since 7d --by day --csv
  gemini-client --context prod usage --json`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			now := time.Now()
			since, err := o.check(now)
			if err != nil {
				return err
			}
			a, err := openAdminClient(cmd.Context(), from, std)
			if err != nil {
				return err
			}
			defer a.close()
			if !since.IsZero() {
				return a.showSpending(cmd.Context(), o, since, now)
			}
			return a.showUsage(cmd.Context(), now, o.json)
		},
	}
	o.flags(cmd)
	return cmd
}

// showUsage prints what the counters say.
func (a *adminClient) showUsage(ctx context.Context, now time.Time, asJSON bool) error {
	lines, err := a.usage(ctx, now)
	if err != nil {
		return err
	}
	text := usageText(lines)
	if asJSON {
		if text, err = jsonLine(lines); err != nil {
			return err
		}
	}
	_, err = a.out.Write(text)
	return err
}

// usageLine is one budget in one period. Amounts are in USD.
type usageLine struct {
	Tenant   string   `json:"tenant"` // "" stands for all together
	Period   string   `json:"period"`
	Budget   *float64 `json:"budget"` // null if it is not known
	Spent    float64  `json:"spent"`
	Reserved float64  `json:"reserved"`
	Left     *float64 `json:"left"`
	Held     []heldBy `json:"held"`
}

// heldBy is what one worker has reserved.
type heldBy struct {
	Instance string  `json:"instance"`
	USD      float64 `json:"usd"`
	Alive    bool    `json:"alive"`
}

// unknownBudget stands for a budget that this command does not know.
const unknownBudget = 1e9

// usage reads what the counters say of every budget that is declared.
func (a *adminClient) usage(ctx context.Context, now time.Time) ([]usageLine, error) {
	fleet := tenant.Tenant{Name: budget.Fleet, Budget: a.config.FleetBudget.Bounds()}
	for _, usd := range []*float64{&fleet.Budget.Day, &fleet.Budget.Week, &fleet.Budget.Month} {
		if *usd == 0 {
			*usd = unknownBudget
		}
	}
	declared, err := a.budgeted(ctx)
	if err != nil {
		return nil, err
	}
	lines, alive := []usageLine{}, map[string]bool{}
	for _, t := range append(declared, fleet) {
		usages, err := budget.Read(ctx, a, a.names, t, now)
		if errors.Is(err, nats.ErrNoResponders) && len(declared) == 0 && a.config.FleetBudget == "" {
			return lines, nil // its stream is made when there is a budget
		}
		if err != nil {
			return nil, fmt.Errorf("stream %s: has a service run under a budget, or `gemini-client provision`? (%w)", a.names.BudgetsStream(), err)
		}
		if lines, err = a.addLines(ctx, lines, usages, alive); err != nil {
			return nil, err
		}
	}
	return lines, nil
}

// addLines adds those of one tenant.
func (a *adminClient) addLines(ctx context.Context, lines []usageLine, usages []budget.Usage, alive map[string]bool) ([]usageLine, error) {
	for _, u := range usages {
		line, shown, err := a.usageLine(ctx, u, alive)
		if err != nil {
			return nil, err
		}
		if shown {
			lines = append(lines, line)
		}
	}
	return lines, nil
}

// Totals implements budget.Reader.
func (a *adminClient) Totals(ctx context.Context, filter string, each func(counter string, total int64, sequence uint64)) error {
	ctx, cancel := context.WithTimeout(ctx, connectTimeout)
	defer cancel()
	return a.conn.Totals(ctx, a.names.BudgetsStream(), filter, each)
}

// budgeted returns the declared tenants that have a budget, by name.
func (a *adminClient) budgeted(ctx context.Context) (all []tenant.Tenant, err error) {
	bucket, err := a.js.KeyValue(ctx, a.names.TenantsBucket())
	if errors.Is(err, jetstream.ErrBucketNotFound) {
		return nil, nil
	}
	if err != nil {
		return nil, fmt.Errorf("bucket %s: %w", a.names.TenantsBucket(), err)
	}
	names, err := bucket.Keys(ctx)
	if err != nil && !errors.Is(err, jetstream.ErrNoKeysFound) {
		return nil, fmt.Errorf("bucket %s: %w", a.names.TenantsBucket(), err)
	}
	slices.Sort(names)
	for _, name := range names {
		entry, err := bucket.Get(ctx, name)
		if errors.Is(err, jetstream.ErrKeyNotFound) { // it was removed in this moment
			continue
		}
		if err != nil {
			return nil, fmt.Errorf("tenant %s: %w", name, err)
		}
		t := tenant.Undeclared(name)
		if json.Unmarshal(entry.Value(), &t) == nil && !t.Budget.IsZero() {
			all = append(all, t)
		}
	}
	return all, nil
}

// usageLine is what is shown of a bound; not one of which nothing is known.
func (a *adminClient) usageLine(ctx context.Context, u budget.Usage, alive map[string]bool) (line usageLine, shown bool, err error) {
	line = usageLine{Tenant: u.Scope, Period: u.Period, Spent: budget.USD(u.Spent), Reserved: budget.USD(u.Reserved()), Held: []heldBy{}}
	if u.Scope == budget.Fleet {
		line.Tenant = ""
	}
	known := u.Limit < budget.Micros(unknownBudget)
	if known {
		line.Budget, line.Left = new(budget.USD(u.Limit)), new(budget.USD(u.Left()))
	}
	for _, h := range u.Held {
		instance := budget.ProcessOf(h.Process)
		if _, asked := alive[instance]; !asked {
			if alive[instance], err = a.isAlive(ctx, instance); err != nil {
				return line, false, err
			}
		}
		line.Held = append(line.Held, heldBy{instance, budget.USD(h.Amount), alive[instance]})
	}
	return line, known || u.Spent != 0 || len(u.Held) > 0, nil
}

// isAlive reports whether a worker's heartbeat is there.
func (a *adminClient) isAlive(ctx context.Context, instance string) (bool, error) {
	s, err := a.stream(ctx, a.names.ClaimsStream())
	if err != nil {
		return false, err
	}
	m, err := a.last(ctx, s, a.names.Instance(instance))
	return m != nil && len(m.Data) > 0, err
}

// usageText is the table.
func usageText(lines []usageLine) []byte {
	if len(lines) == 0 {
		return []byte("no budget is declared, and nothing is counted\n")
	}
	var b bytes.Buffer
	w := tabwriter.NewWriter(&b, 0, 4, 2, ' ', 0)
	_, _ = fmt.Fprintln(w, "TENANT\tPERIOD\tBUDGET\tSPENT\tRESERVED\tLEFT\tHELD BY")
	for _, l := range lines {
		name := l.Tenant
		if name == "" {
			name = "(all)"
		}
		_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\t%s\t%s\t%s\n", plain(name), l.Period, amount(l.Budget), amount(&l.Spent), amount(&l.Reserved), amount(l.Left), holders(l.Held))
	}
	_ = w.Flush() // to memory
	return b.Bytes()
}

// holders counts who holds what is reserved.
func holders(held []heldBy) string {
	live, gone := 0, 0
	var lost float64
	for _, h := range held {
		if h.Alive {
			live++
			continue
		}
		gone++
		lost += h.USD
	}
	var parts []string
	if live > 0 {
		parts = append(parts, fmt.Sprintf("%d live", live))
	}
	if gone > 0 {
		parts = append(parts, fmt.Sprintf("%d gone (%s)", gone, amount(&lost)))
	}
	return strings.Join(parts, ", ")
}

// amount is an amount in USD for people.
func amount(usd *float64) string {
	if usd == nil {
		return "?"
	}
	return strconv.FormatFloat(*usd, 'f', -1, 64)
}
