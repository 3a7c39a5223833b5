package main

import (
	"context"
	"errors"
	"fmt"
	"runtime/debug"
	"strings"
	"text/tabwriter"
	"time"

	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/upstream"
	"gemini-client/telemetry"
)

// provisioning holds the flags of provision.
type provisioning struct {
	missing bool
	dryRun  bool
	readers []string // NAME or NAME=CALLBACK

	consumers []bus.QueueConsumer // the readers'
}

func provisionCommand(from *source, std streams) *cobra.Command {
	var p provisioning
	cmd := &cobra.Command{
		Use:   "provision",
		Short: "Create the streams and consumers, or apply the configuration to them",
		Long: `Create the streams and consumers that are missing and apply the configuration to
those that exist. The service itself only creates; changing what exists is left
to people. With --missing nothing that exists is changed, as fits a start script:
a difference that the service cannot work with is reported, with exit code 2.
With --dry-run every difference is shown and nothing is changed; exit code 1: something
would be. What belongs to declared tenants stays. Needs a NATS user that may manage streams.`,
		Example: `  gemini-client provision --dry-run   # exit code 1
  gemini-client provision
  gemini-client provision --missing --reader backend
  gemini-client provision --reader team-a=gemini.responses.a --reader team-b=gemini.responses.b`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, _, err := from.load()
			if err != nil {
				return err
			}
			if p.consumers, err = readers(c, p.readers); err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), 2*connectTimeout)
			defer cancel()
			return provision(ctx, c, p, std)
		},
	}
	cmd.Flags().BoolVar(&p.missing, "missing", false, "create what is missing and change nothing that exists")
	cmd.Flags().BoolVar(&p.dryRun, "dry-run", false, "only show what would be created or changed: exit code 0 if nothing, 1 if something")
	cmd.MarkFlagsMutuallyExclusive("missing", "dry-run")
	cmd.Flags().StringArrayVar(&p.readers, "reader", nil, "also a durable consumer `NAME[=CALLBACK]` of the results, for a backend that may create none (default callback: RESPONSE_QUEUE); may be repeated")
	return cmd
}

// readers are the consumers that --reader asks for; the error joins every
// problem.
func readers(c config.Config, specs []string) ([]bus.QueueConsumer, error) {
	var list []bus.QueueConsumer
	var problems []error
	for _, spec := range specs {
		name, callback, _ := strings.Cut(spec, "=")
		reader, err := bus.Reader(c, name, callback)
		list, problems = append(list, reader), append(problems, err)
	}
	return list, errors.Join(problems...)
}

func provision(ctx context.Context, c config.Config, p provisioning, std streams) error {
	log, err := telemetry.NewLogger(telemetry.Config{LogLevel: "WARN", Output: std.err})
	if err != nil {
		return err
	}
	conn, err := dial(ctx, c.NATS, log)
	if err != nil {
		return err
	}
	defer conn.Close()
	js, topology := conn.JetStream, bus.NewTopology(c, conn.MaxPayload())
	if p.dryRun {
		return showPlan(ctx, js, topology, p.consumers, std)
	}
	if p.missing {
		if topology, err = topology.WithTenants(ctx, js); err == nil {
			err = topology.Ensure(ctx, js, true, log)
		}
	} else if err = topology.Provision(ctx, js); err == nil {
		topology, err = topology.WithTenants(ctx, js)
	}
	if err != nil {
		return err
	}
	for _, s := range topology.Streams {
		_, _ = fmt.Fprintf(std.out, "stream    %-20s %s\n", s.Name, strings.Join(s.Subjects, " "))
	}
	for _, q := range topology.Consumers {
		_, _ = fmt.Fprintf(std.out, "consumer  %-20s %s, ack wait %s\n", q.Stream, q.Config.Durable, q.Config.AckWait)
	}
	for _, want := range p.consumers {
		have, err := bus.ProvisionReader(ctx, js, want, !p.missing)
		if err != nil {
			return err
		}
		_, _ = fmt.Fprintf(std.out, "reader    %-20s %s, %s\n", want.Stream, have.Durable, have.FilterSubject)
	}
	return nil
}

// showPlan prints what provision would do. The error is errFailed if that is anything.
func showPlan(ctx context.Context, js jetstream.JetStream, topology bus.Topology, readers []bus.QueueConsumer, std streams) error {
	plan, err := topology.Plan(ctx, js, readers)
	if err != nil {
		return err
	}
	for _, change := range plan {
		_, _ = fmt.Fprintln(std.out, plain(change.String()))
	}
	if len(plan) == 0 {
		_, _ = fmt.Fprintln(std.out, "nothing would change")
		return nil
	}
	_, _ = fmt.Fprintf(std.out, "%d changes; nothing was changed\n", len(plan))
	return errFailed
}

// outlookTime bounds how long config waits for OpenRouter's catalogue.
const outlookTime = 3 * time.Second

func configCommand(from *source, std streams) *cobra.Command {
	var markdown bool
	cmd := &cobra.Command{
		Use:   "config",
		Short: "Explain every setting: meaning, default and the value in force (secrets masked)",
		Long: `Explain every setting: meaning, default and the value in force (secrets masked).
Where there is a key, OpenRouter's catalogue is asked, for 3 seconds at most, when
the models of the settings expire; the last lines say so, or why it is not known.`,
		Example: `  gemini-client config
  gemini-client --context prod config`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			c, warnings, err := from.load()
			err = errors.Join(err, telemetryConfig(c, std.out).Validate())
			if markdown {
				_, _ = fmt.Fprint(std.out, c.Markdown())
				return nil
			}
			w := tabwriter.NewWriter(std.out, 0, 4, 2, ' ', 0)
			_, _ = fmt.Fprintln(w, "VARIABLE\tVALUE\tDEFAULT\tMEANING")
			for _, s := range c.Settings() {
				_, _ = fmt.Fprintf(w, "%s\t%s\t%s\t%s\n", s.Name, s.Value, s.Default, s.Meaning)
			}
			if err := w.Flush(); err != nil {
				return err
			}
			for _, warning := range warnings {
				_, _ = fmt.Fprintln(std.err, "warning:", warning)
			}
			if err != nil {
				return err
			}
			ctx, cancel := context.WithTimeout(cmd.Context(), outlookTime)
			defer cancel()
			for _, line := range upstream.Outlook(ctx, c) {
				_, _ = fmt.Fprintln(std.out, "model", plain(line))
			}
			return nil
		},
	}
	cmd.Flags().BoolVar(&markdown, "markdown", false, "print the settings as a Markdown table: names, defaults and meanings, no values")
	return cmd
}

func versionCommand(std streams) *cobra.Command {
	return &cobra.Command{
		Use: "version", Short: "Print the version", Args: cobra.NoArgs,
		Example: `  gemini-client version`,
		RunE: func(*cobra.Command, []string) error {
			_, err := fmt.Fprintln(std.out, "gemini-client", version())
			return err
		},
	}
}

// stamped is set by the linker (-X main.stamped=v1.2.3).
var stamped string //nolint:gochecknoglobals // the linker sets only package variables

// version is the version that the linker stamped, else the one of Go's build info.
func version() string {
	if stamped != "" {
		return stamped
	}
	info, ok := debug.ReadBuildInfo()
	if !ok {
		return "unknown"
	}
	for _, s := range info.Settings {
		if s.Key == "vcs.revision" && len(s.Value) >= 12 {
			return "commit " + s.Value[:12]
		}
	}
	return info.Main.Version
}
