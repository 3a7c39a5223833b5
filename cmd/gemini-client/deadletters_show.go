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

func showCommand(from *source, std streams) *cobra.Command {
	var body, asJSON bool
	cmd := &cobra.Command{
		Use:   "show SEQUENCE|ID",
		Short: "Show a dead letter; its body, and with it the prompt, only with --body",
		Long: `Show a dead letter: why it failed, its headers, and the model and callback of its
request. Of a request_id with several, the newest. The body, and with it the
prompt, is shown only with --body, which prints it as it was sent, or its first
48 KiB where it had no usable request_id.`,
		Example: `  gemini-client deadletters show 17
  gemini-client deadletters show --body 17 | jq .`,
		Args:              cobra.ExactArgs(1),
		ValidArgsFunction: from.deadLetterNames(1, true),
		RunE: func(cmd *cobra.Command, args []string) error {
			a, err := openAdminClient(cmd.Context(), from, std)
			if err != nil {
				return err
			}
			defer a.close()
			return a.show(cmd.Context(), args[0], body, asJSON)
		},
	}
	cmd.Flags().BoolVar(&body, "body", false, "print the body as it was kept, and nothing else (with --json: add it)")
	cmd.Flags().BoolVar(&asJSON, "json", false, "a JSON object")
	return cmd
}

// shownDeadLetter is a dead letter as --json shows it.
type shownDeadLetter struct {
	deadLetter
	Header map[string][]string `json:"header"`
	Bytes  int                 `json:"bytes"`
	Body   *string             `json:"body,omitempty"`
}

func (a *adminClient) show(ctx context.Context, arg string, body, asJSON bool) error {
	deadLetters, err := a.named(ctx, []string{arg})
	if err != nil {
		return err
	}
	l := deadLetters[len(deadLetters)-1]
	stream, err := a.stream(ctx, a.names.DeadlettersStream())
	if err != nil {
		return err
	}
	m, err := a.at(ctx, stream, l.Sequence)
	if err != nil {
		return err
	}
	if m == nil {
		return a.fail("there is no dead letter %s", arg)
	}
	header := map[string][]string{}
	for name, values := range m.Header {
		for _, value := range values {
			header[plain(name)] = append(header[plain(name)], plain(value))
		}
	}
	switch {
	case asJSON:
		shown := shownDeadLetter{deadLetter: l, Header: header, Bytes: len(m.Data)}
		if text := string(m.Data); body {
			shown.Body = &text
		}
		return json.NewEncoder(a.out).Encode(shown)
	case body:
		a.printBody(m.Data)
	default:
		a.describe(ctx, l, m, header)
	}
	return nil
}

// printBody prints a body byte for byte, but to a terminal without its control
// characters.
func (a *adminClient) printBody(body []byte) {
	if !isTerminal(a.out) {
		_, _ = a.out.Write(body)
		return
	}
	for line := range strings.SplitSeq(string(body), "\n") {
		a.printf("%s\n", plain(line))
	}
}

func (a *adminClient) describe(ctx context.Context, l deadLetter, m *jetstream.RawStreamMsg, header map[string][]string) {
	a.printf("dead letter  %d, kept %s\n", l.Sequence, since(l.Time))
	a.printf("request_id   %s\n", cmp.Or(l.RequestID, "none that is usable"))
	a.printf("failed       %s: %s\n", l.Code, l.Reason)
	a.printf("from         %s\n", l.From)
	a.printf("tenant       %s, lane %s\n", l.Tenant, l.Lane)
	if r, err := a.read(ctx, m.Header, m.Data, m.Time); err == nil {
		a.printf("model        %s, callback %s\n", plain(r.Model), r.CallbackQueue)
		if !r.Deadline.IsZero() {
			a.printf("deadline     %s\n", since(r.Deadline))
		}
		if ref := r.BodyRef; ref != nil {
			a.printf("prompt       %s in the object store: nats object get %s %s\n", humanize.IBytes(uint64(ref.Size)), ref.Bucket, plain(ref.Name)) //nolint:gosec // it is not negative
		}
	}
	a.printf("body         %s, not shown (--body shows it, prompt included)\n", humanize.IBytes(uint64(len(m.Data))))
	a.printf("headers\n")
	for _, name := range slices.Sorted(maps.Keys(header)) {
		for _, value := range header[name] {
			a.printf("  %s: %s\n", name, value)
		}
	}
}

// passed reports whether a request's deadline is over, so that a replay would not
// be called for.
func passed(r events.Request) bool {
	return !r.Deadline.IsZero() && !r.Deadline.After(time.Now())
}
