package main

import (
	"cmp"
	"context"
	"encoding/json"
	"maps"
	"slices"
	"strings"
	"time"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats.go/jetstream"
	"github.com/spf13/cobra"

	"gemini-client/events"
)

func showCommand(configFile *string, std streams) *cobra.Command {
	var body, asJSON bool
	cmd := &cobra.Command{
		Use:   "show SEQUENCE|ID",
		Short: "Show a dead letter; its body, and with it the prompt, only with --body",
		Long: `Show a dead letter: why it failed, its headers and what its request asks for. Of
a request_id with several, the newest. The body, and with it the prompt, is
shown only with --body, which prints it as it was sent.`,
		Example: `  gemini-client deadletters show 17
  gemini-client deadletters show --body 17 | jq .`,
		Args: cobra.ExactArgs(1),
		RunE: func(cmd *cobra.Command, args []string) error {
			d, err := openDesk(cmd.Context(), *configFile, std)
			if err != nil {
				return err
			}
			defer d.close()
			return d.show(cmd.Context(), args[0], body, asJSON)
		},
	}
	cmd.Flags().BoolVar(&body, "body", false, "print the body as it was sent, and nothing else (with --json: add it)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "a JSON object")
	return cmd
}

// shownLetter is a dead letter as --json shows it.
type shownLetter struct {
	letter
	Header map[string][]string `json:"header"`
	Bytes  int                 `json:"bytes"`
	Body   *string             `json:"body,omitempty"`
}

func (d *desk) show(ctx context.Context, arg string, body, asJSON bool) error {
	letters, err := d.named(ctx, []string{arg})
	if err != nil {
		return err
	}
	l := letters[len(letters)-1]
	stream, err := d.stream(ctx, d.names.DeadlettersStream())
	if err != nil {
		return err
	}
	m, err := d.at(ctx, stream, l.Sequence)
	if err != nil {
		return err
	}
	if m == nil {
		return d.fail("there is no dead letter %s", arg)
	}
	header := map[string][]string{}
	for name, values := range m.Header {
		for _, value := range values {
			header[plain(name)] = append(header[plain(name)], plain(value))
		}
	}
	switch {
	case asJSON:
		shown := shownLetter{letter: l, Header: header, Bytes: len(m.Data)}
		if text := string(m.Data); body {
			shown.Body = &text
		}
		return json.NewEncoder(d.out).Encode(shown)
	case body:
		d.printBody(m.Data)
	default:
		d.describe(l, m, header)
	}
	return nil
}

// printBody prints a body byte for byte, unless a terminal would obey some of
// them.
func (d *desk) printBody(body []byte) {
	if !isTerminal(d.out) {
		_, _ = d.out.Write(body)
		return
	}
	for line := range strings.SplitSeq(string(body), "\n") {
		d.printf("%s\n", plain(line))
	}
}

func (d *desk) describe(l letter, m *jetstream.RawStreamMsg, header map[string][]string) {
	d.printf("dead letter  %d, kept %s\n", l.Sequence, since(l.Time))
	d.printf("request_id   %s\n", cmp.Or(l.RequestID, "none that is usable"))
	d.printf("failed       %s: %s\n", l.Code, l.Reason)
	d.printf("came from    %s\n", l.From)
	if r, err := d.config.Rules(0).Decode(m.Data, m.Time); err == nil {
		d.printf("asks         %s, answer to %s\n", plain(r.Model), r.CallbackQueue)
		if !r.Deadline.IsZero() {
			d.printf("deadline     %s\n", since(r.Deadline))
		}
	}
	d.printf("body         %s, not shown (--body shows it, prompt included)\n", humanize.IBytes(uint64(len(m.Data))))
	d.printf("headers\n")
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			d.printf("  %s: %s\n", name, value)
		}
	}
}

// passed returns whether a request's deadline is over: it would not be called
// for again.
func passed(r events.Request) bool {
	return !r.Deadline.IsZero() && !r.Deadline.After(time.Now())
}
