package doctor

import (
	"context"
	"net/url"
	"slices"
	"strings"
	"sync"
	"time"
	"unicode"

	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/telemetry"
)

// Options are what Run looks at, and with which eyes.
type Options struct {
	Config   config.Config
	Invalid  error    // of config.Load, and of telemetry; nil if the settings are valid
	Warnings []string // of config.Load
	Version  string
	As       bus.Role // whose rights and settings are judged
	Memory   config.Memory

	Now        func() time.Time      // the clock of this machine
	Collectors []telemetry.Collector // where spans and metrics go
}

// doctor is one look.
type doctor struct {
	Options
	secrets *strings.Replacer
}

// Run looks at everything that can be looked at, within a minute. It changes nothing. No
// text of the report has a key, a password or a control character in it.
func Run(ctx context.Context, o Options) Report {
	d := doctor{o, secretsOf(o.Config)}
	columns := []*column{{group: "settings"}, {group: "NATS"}, {group: "OpenRouter"}, {group: "telemetry"}, {group: "process"}}
	d.settings(columns[0])
	var beside sync.WaitGroup
	beside.Go(func() { d.nats(ctx, columns[1]) })
	beside.Go(func() { d.openRouter(ctx, columns[2]) })
	beside.Go(func() { d.telemetry(ctx, columns[3]) })
	beside.Go(func() { d.process(columns[4]) })
	beside.Wait()
	r := Report{Time: o.Now().UTC().Truncate(time.Second), Version: o.Version, As: o.As}
	for _, c := range columns {
		for _, check := range c.checks {
			check.Found, check.WayOut = shown(check.Found), shown(check.WayOut)
			for i := range check.Details {
				check.Details[i] = shown(check.Details[i])
			}
			check.Details = shortened(check.Details)
			r.Checks = append(r.Checks, check)
		}
	}
	r.conclude()
	return r
}

// settings says what is wrong with them, all at once.
func (d *doctor) settings(c *column) {
	if d.Invalid != nil {
		text := strings.TrimPrefix(d.Invalid.Error(), config.ErrInvalid.Error()+":")
		var problems []string
		for line := range strings.SplitSeq(strings.TrimSpace(text), "\n") {
			problems = append(problems, strings.TrimSpace(line))
		}
		c.addDetails(Fail, "settings", "correct them; `gemini-client config` explains every setting", problems, "cannot be used; the service does not start with them")
		return
	}
	if len(d.Warnings) > 0 {
		c.addDetails(Warn, "settings", "rename what is deprecated", d.Warnings, "valid")
		return
	}
	c.ok("settings", "valid")
}

// invalidText says why what depends on the settings is skipped.
const invalidText = "the settings are not valid"

// maxText is the length of one line, in characters.
const maxText = 400

// shown makes a text safe to be shown, whoever has written it.
func shown(text string) string {
	text = strings.Map(printable, strings.ToValidUTF8(telemetry.Redact(text), "\uFFFD"))
	if characters := []rune(text); len(characters) > maxText {
		text = string(characters[:maxText-1]) + "…"
	}
	return text
}

// said is the text of an error that a server may have written: it may repeat what it was
// sent. Our own sentences are left alone: a password that is a word of them would show.
func (d *doctor) said(err error) string { return d.secrets.Replace(err.Error()) }

// leastSecret is the length from which on a secret is looked for in texts.
const leastSecret = 4

// secretsOf replaces the secrets of the settings.
func secretsOf(c config.Config) *strings.Replacer {
	var pairs []string
	for _, secret := range slices.Concat(c.APIKeys, []string{c.Password, c.CurrentPassword()}, passwords(append(c.Servers(), c.HTTPProxy))) {
		if len(secret) >= leastSecret {
			pairs = append(pairs, secret, "****")
		}
	}
	return strings.NewReplacer(pairs...)
}

// passwords are those in URLs; a user without one is a token.
func passwords(urls []string) (all []string) {
	for _, text := range urls {
		u, err := url.Parse(text)
		if err != nil || u.User == nil {
			continue
		}
		password, set := u.User.Password()
		if !set {
			password = u.User.Username()
		}
		all = append(all, password)
	}
	return all
}

// printable replaces what moves a terminal's cursor or hides text.
func printable(r rune) rune {
	if unicode.IsControl(r) || unicode.Is(unicode.Cf, r) {
		return ' '
	}
	return r
}
