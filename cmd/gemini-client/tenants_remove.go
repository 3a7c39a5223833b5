package main

import (
	"context"
	"fmt"

	"github.com/spf13/cobra"

	"gemini-client/service/bus"
)

func tenantsRemoveCommand(from *source, std streams) *cobra.Command {
	var force, yes bool
	cmd := &cobra.Command{
		Use:   "remove NAME",
		Short: "Remove a tenant: its requests are refused from then on",
		Long: `Remove a tenant: first its record, then its subjects, then its queues. From then on NATS
refuses what is published for it. While its requests wait or are in flight it stays,
unless you say --force --yes: then these are deleted, unanswered, and how many that
were is said. Requests that wait for a retry are answered all the same, where they would
have been, without what was declared; those of an isolated tenant count as waiting too,
and are not deleted. Of the tenant "default" only the record goes. What is interrupted
can be repeated.`,
		Example:           `  gemini-client tenants remove acme`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: from.tenantNames,
		RunE: func(cmd *cobra.Command, args []string) error {
			return from.onTenants(cmd.Context(), std, func(a *adminClient, d *bus.Declarations) error {
				if force && !yes {
					return mayLose(cmd.Context(), d, args[0])
				}
				lost, err := d.Remove(cmd.Context(), args[0], force)
				if err != nil {
					return a.undeclared(err)
				}
				a.printf("%s is removed, %d requests were deleted unanswered\n", args[0], lost)
				return nil
			})
		},
	}
	cmd.Flags().BoolVar(&force, "force", false, "also while its requests wait or are in flight: these are lost")
	cmd.Flags().BoolVar(&yes, "yes", false, "with --force: you know how many are lost")
	return cmd
}

// mayLose says what a removal by force would take.
func mayLose(ctx context.Context, d *bus.Declarations, name string) error {
	waiting, inFlight, err := d.InUse(ctx, name)
	if err != nil {
		return err
	}
	return fmt.Errorf("%d requests of %s wait and %d are in flight: they would be deleted, unanswered. Add --yes if that is what you want", waiting, name, inFlight)
}
