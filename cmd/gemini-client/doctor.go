package main

import (
	"context"
	"errors"
	"fmt"
	"os"
	"runtime/debug"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/doctor"
	"gemini-client/telemetry"
)

// doctorTime bounds all checks together.
const doctorTime = time.Minute

// errWrong ends the program with exit code 2. The reason has been printed already.
var errWrong = errors.New("something is wrong")

// examination holds the flags of doctor.
type examination struct {
	as   string
	json bool
}

func doctorCommand(from *source, std streams) *cobra.Command {
	var e examination
	roles := []string{string(bus.RoleWorker), string(bus.RoleAdmin), string(bus.RoleBackend)}
	cmd := &cobra.Command{
		Use:   "doctor",
		Short: "Look at the deployment with these settings, and say what is wrong and the way out",
		Long: `Look at the deployment with these settings, and say what is right and what is not,
each wrong thing with a way out: the settings; NATS, the login, JetStream, streams and
consumers, the rights of this user, the clocks; OpenRouter, the proxy, each key and model;
the collector; memory and time limits. Run it where the service runs, with its settings.

Nothing is changed: no message is stored, no call is paid for, no span is sent. Exit code
0: all right; 1: warnings only; 2: something is wrong. What is skipped says why.`,
		Example: `  gemini-client doctor
  gemini-client doctor --json | jq -r '.checks[] | select(.status == "fail").found'
  gemini-client --context prod doctor --as admin
  NATS_URL=nats://127.0.0.1:1 gemini-client doctor # exit code 2`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if !slices.Contains(roles, e.as) {
				return fmt.Errorf("--as %s: want one of %s", e.as, strings.Join(roles, ", "))
			}
			return e.run(cmd.Context(), from, std)
		},
	}
	cmd.Flags().StringVar(&e.as, "as", roles[0], "whose rights and settings are judged: "+strings.Join(roles, ", "))
	completes(cmd, "as", only(func() []string { return roles }))
	cmd.Flags().BoolVar(&e.json, "json", false, "a JSON object with every check")
	return cmd
}

// run prints the report. The error is errWrong or errFailed where it has failures, or
// warnings.
func (e examination) run(ctx context.Context, from *source, std streams) error {
	c, warnings, err := from.load()
	collectors, telemetryErr := telemetry.Collectors()
	limited, cancel := context.WithTimeout(ctx, doctorTime)
	defer cancel()
	report := doctor.Run(limited, doctor.Options{
		Config: c, Invalid: errors.Join(err, telemetryErr), Warnings: warnings, Version: version(), As: bus.Role(e.as),
		Memory: config.ReadMemory(os.DirFS("/"), debug.SetMemoryLimit(-1)), Now: time.Now, Collectors: collectors,
	})
	if ctx.Err() != nil {
		return context.Cause(ctx) // what was not looked at looks wrong
	}
	if e.json {
		text, err := jsonLine(report)
		if err != nil {
			return err
		}
		_, _ = std.out.Write(text)
	} else {
		report.Text(std.out)
	}
	switch report.Status {
	case doctor.Fail:
		return errWrong
	case doctor.Warn:
		return errFailed
	case doctor.OK, doctor.Skip:
	}
	return nil
}
