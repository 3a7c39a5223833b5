package main

import (
	"github.com/spf13/cobra"
	"github.com/spf13/pflag"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/tenant"
)

// tenantFlags are what can be declared.
type tenantFlags struct {
	to        tenant.Tenant
	budget    string
	whenSpent string
}

func (f *tenantFlags) add(flags *pflag.FlagSet) {
	flags.IntVar(&f.to.Weight, "weight", 1, "share of the slots beside other tenants whose requests wait, 1 to 1000")
	flags.IntVar(&f.to.MaxInFlight, "max-in-flight", 0, "requests in flight in each worker; 0 = no limit")
	flags.IntVar(&f.to.RequestsPerMinute, "requests-per-minute", 0, "calls a minute in all workers together; 0 = no limit")
	flags.IntVar(&f.to.TokensPerMinute, "tokens-per-minute", 0, "tokens a minute, of prompts and answers, in all workers together; 0 = no limit")
	flags.StringVar(&f.budget, "budget", "", `what may be spent in USD a day, week or month (UTC), such as 5/day,100/month; "" = no budget`)
	flags.StringVar(&f.whenSpent, "when-spent", "", "what becomes of requests while the budget is used up: hold or fail (default hold)")
	flags.StringSliceVar(&f.to.Models, "models", nil, `patterns of the models that it may name, beside MODELS_ALLOW; "" = all of those`)
	flags.BoolVar(&f.to.BatchOnly, "batch-only", false, "answer all its requests in the slow lane")
	flags.BoolVar(&f.to.Isolated, "isolated", false, "give it a callback, cancellations and deltas of its own; can be changed only while none of its requests wait or are in flight")
	flags.StringVar(&f.to.Note, "note", "", "for people")
}

// change changes of a tenant what was given, and nothing else.
func (f *tenantFlags) change(flags *pflag.FlagSet) func(*tenant.Tenant) error {
	return func(t *tenant.Tenant) (err error) {
		for name, set := range map[string]func(){
			"weight":              func() { t.Weight = f.to.Weight },
			"max-in-flight":       func() { t.MaxInFlight = f.to.MaxInFlight },
			"requests-per-minute": func() { t.RequestsPerMinute = f.to.RequestsPerMinute },
			"tokens-per-minute":   func() { t.TokensPerMinute = f.to.TokensPerMinute },
			"budget":              func() { t.Budget, err = tenant.ParseBudget(f.budget) },
			"when-spent":          func() { t.WhenSpent = tenant.WhenSpent(f.whenSpent) },
			"models":              func() { t.Models = f.to.Models },
			"batch-only":          func() { t.BatchOnly = f.to.BatchOnly },
			"isolated":            func() { t.Isolated = f.to.Isolated },
			"note":                func() { t.Note = f.to.Note },
		} {
			if flags.Changed(name) {
				set()
			}
		}
		return err
	}
}

func tenantsSetCommand(from *source, std streams) *cobra.Command {
	var f tenantFlags
	cmd := &cobra.Command{
		Use:   "set NAME",
		Short: "Declare a tenant, or change what is declared of it",
		Long: `Declare a tenant, or change of it what the flags say; the rest stays as it is. A new
tenant gets its queues first, and its record last, so that nobody can publish what
nobody reads. Workers hear of it at once. What is interrupted can be repeated, and
two people may do it at the same time. A change of --isolated counts what waits for a
retry of a tenant that is isolated; of one that becomes it, that cannot be told from
others', and is answered where it would have been. Needs a NATS user that may manage streams and
write to the bucket GEMINI_TENANTS.`,
		Example: `  gemini-client tenants set acme --weight 3 --max-in-flight 20 --requests-per-minute 600
  gemini-client tenants set acme --budget 5/day,100/month --when-spent fail --note "ask Ann"
  gemini-client tenants set acme --budget "" --models 'google/*'
  gemini-client tenants set nightly --batch-only`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: from.tenantNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return from.onTenants(cmd.Context(), std, func(a *adminClient, d *bus.Declarations) error {
				now, err := d.Set(cmd.Context(), args[0], f.change(cmd.Flags()))
				if err != nil {
					return err
				}
				a.printf("%s is declared: publish to %s, or to %s for the slow lane\n", now.Name, a.names.Requests(now.Name, events.LaneInteractive), a.names.Requests(now.Name, events.LaneBatch))
				return nil
			})
		},
	}
	f.add(cmd.Flags())
	completes(cmd, "when-spent", only(func() []string { return []string{string(tenant.Hold), string(tenant.Fail)} }))
	return cmd
}
