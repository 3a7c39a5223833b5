package main

import (
	"context"
	"errors"
	"fmt"
	"net"
	"net/url"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gemini-client/cmd/gemini-client/ui"
	"gemini-client/telemetry"
)

// uiOptions holds the flags of ui.
type uiOptions struct {
	listen      string
	allowRemote bool
	hosts       []string
	readOnly    bool
	traceURL    string
	interval    time.Duration
}

func uiCommand(from *source, std streams) *cobra.Command {
	var o uiOptions
	cmd := &cobra.Command{
		Use:   "ui",
		Short: "Serve pages that show what status, usage and deadletters show",
		Long: `Serve pages for a browser: the queues over time, every running worker, what is
spent, one request's life, failed results and dead letters, which can be replayed.
They read what the commands read, with the same rights, and stop with Ctrl-C.

There is no login: whoever reaches the address may look, also at prompts, and
unless --read-only is given replay dead letters. So the address has to be of
loopback; --allow-remote allows another one, behind a proxy that asks who it is.`,
		Example: `  gemini-client ui
  gemini-client --context prod ui --read-only
  gemini-client ui --listen 0.0.0.0:8090 --allow-remote --host gemini.example.com`,
		Args: cobra.NoArgs,
		RunE: func(cmd *cobra.Command, _ []string) error {
			if err := o.check(); err != nil {
				return err
			}
			return o.serve(cmd.Context(), from, std)
		},
	}
	f := cmd.Flags()
	f.StringVar(&o.listen, "listen", "127.0.0.1:8090", "address of the pages")
	f.BoolVar(&o.allowRemote, "allow-remote", false, "let --listen be an address that other machines reach")
	f.StringSliceVar(&o.hosts, "host", nil, "name under which a browser reaches the pages, besides localhost (repeatable)")
	f.BoolVar(&o.readOnly, "read-only", false, "nothing can be replayed")
	f.StringVar(&o.traceURL, "trace-url", "http://127.0.0.1:16686/trace/{trace_id}", "page of a trace; empty: no link")
	f.DurationVar(&o.interval, "interval", 5*time.Second, "how often everything is read")
	return cmd
}

func (o *uiOptions) check() error {
	var errs []error
	host, _, err := net.SplitHostPort(o.listen)
	if err != nil {
		errs = append(errs, fmt.Errorf("--listen %q: want an address and a port such as 127.0.0.1:8090", o.listen))
	} else if !o.allowRemote && !loopback(host) {
		errs = append(errs, fmt.Errorf("--listen %s: other machines may reach it, and there is no login; give --allow-remote if a proxy before it asks who they are", o.listen))
	}
	for i, name := range o.hosts {
		if o.hosts[i] = strings.ToLower(name); name == "" || strings.ContainsAny(name, "/:[] ") {
			errs = append(errs, fmt.Errorf("--host %q: want a name without a port such as gemini.example.com", name))
		}
	}
	if u, err := url.Parse(o.traceURL); o.traceURL != "" && (err != nil || u.Scheme != "http" && u.Scheme != "https" || !strings.Contains(o.traceURL, "{trace_id}")) {
		errs = append(errs, fmt.Errorf("--trace-url %q: want a URL with {trace_id} such as http://127.0.0.1:16686/trace/{trace_id}", o.traceURL))
	}
	if o.interval < time.Second {
		errs = append(errs, fmt.Errorf("--interval %s: want 1s or more", o.interval))
	}
	return errors.Join(errs...)
}

// loopback reports whether an address is reached from this machine alone.
func loopback(host string) bool {
	return strings.EqualFold(host, "localhost") || net.ParseIP(host).IsLoopback()
}

// serve serves the pages until ctx ends.
func (o *uiOptions) serve(ctx context.Context, from *source, std streams) error {
	a, err := openAdminClient(ctx, from, std)
	if err != nil {
		return err
	}
	defer a.close()
	log, err := telemetry.NewLogger(telemetryConfig(a.config, std.err))
	if err != nil {
		return err
	}
	pages, err := ui.New(newUISource(a), ui.Options{ReadOnly: o.readOnly, Hosts: o.hosts, TraceURL: o.traceURL, Interval: o.interval, Log: log})
	if err != nil {
		return err
	}
	stop, err := web{"--listen", o.listen, "pages for a browser", pages}.listen(ctx, log)
	if err != nil {
		return err
	}
	defer stop()
	pages.Run(ctx) // until Ctrl-C, which is how it ends
	return nil
}
