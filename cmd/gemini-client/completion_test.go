package main

import (
	"fmt"
	"slices"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"

	"gemini-client/events"
	"gemini-client/service/servicetest"
)

// pressTab has bash complete a command line. _init_completion is what bash-completion
// has; without that package the script would miss it.
const pressTab = `
_init_completion() { words=("${COMP_WORDS[@]}"); cword=$COMP_CWORD; cur=${words[cword]}; prev=${words[cword-1]}; COMPREPLY=(); }
source <(gemini-client completion bash)
COMP_LINE="$LINE"; COMP_POINT=${#COMP_LINE}; COMP_TYPE=9; COMP_KEY=9
read -ra COMP_WORDS <<< "$LINE"
case "$LINE" in *' ') COMP_WORDS+=('');; esac
COMP_CWORD=$((${#COMP_WORDS[@]} - 1))
complete -p gemini-client | grep -q __start_gemini-client || exit 3
compopt() { :; } # bash allows it in a real completion alone
__start_gemini-client
printf '%s\n' "${COMPREPLY[@]}"
`

// Bash completes commands, flags, contexts, models and dead letters.
func TestBashCompletion(t *testing.T) {
	t.Parallel()
	b := setup(t)
	sh := newShell(t, "NATS_URL="+b.nats.URL, "OPENROUTER_MODEL=google/gemini-2.5-pro", "MODELS_ALLOW=google/*,anthropic/claude", "XDG_CONFIG_HOME=config")
	sh.write(t, "config/nats/context/prod.json", `{"url":"nats://prod"}`)
	sh.write(t, "config/nats/context/staging.json", `{}`)
	sh.write(t, "away.json", `{"url":"nats://127.0.0.1:1"}`)
	ids := []string{"4bf92f35-77b3-4da6-a3ce-929d0e0e4736", "0af76519-16cd-43dd-8448-eb211c80319c"}
	for i, code := range []events.Code{events.ModelUnavailable, events.InsufficientCredits} {
		b.put(b.Names.Deadletter(code, ids[i]), nats.Header{}, servicetest.Body(ids[i], secret, nil))
	}
	b.put(b.Names.Deadletter(events.InvalidRequest, ""), nats.Header{}, []byte(secret))
	b.command(0, "tenants", "set", "acme", "--note", "ask Ann")
	tab := func(line string, variables ...string) string {
		t.Helper()
		code, out, errs := sh.run(t, pressTab, append(variables, "LINE=gemini-client "+line)...)
		if code != 0 || errs != "" {
			t.Fatalf("%s: exit code %d: %s%s", line, code, out, errs)
		}
		var words []string
		for one := range strings.Lines(out) {
			word, _, _ := strings.Cut(strings.TrimSpace(one), " ") // the rest explains it
			words = append(words, word)
		}
		slices.Sort(words)
		return strings.TrimSpace(strings.Join(words, " "))
	}
	both := slices.Sorted(slices.Values(ids))
	for line, want := range map[string]string{
		"pa":                        "pause",
		"deadletters ":              "list purge replay show",
		"completion ":               "bash fish powershell zsh",
		"status --wa":               "--watch",
		"pause ":                    "",
		"--context ":                "prod staging",
		"ask --context s":           "staging",
		"ask --model ":              "anthropic/claude google/gemini-2.5-pro google/gemini-3.5-flash-lite",
		"batch run -m a":            "anthropic/claude",
		"deadletters list --id ":    strings.Join(both, " "),
		"status " + ids[0][:10]:     ids[0],
		"deadletters purge 1 2 ":    strings.Join(slices.Sorted(slices.Values(append(both, "3"))), " "),
		"deadletters show 1 ":       "",
		"tenants show ":             "acme",
		"tenants show acme ":        "",
		"pause --tenant ":           "acme",
		"deadletters replay 3":      "3",
		"deadletters list --code m": "model_unavailable",
	} {
		if got := tab(line); got != want {
			t.Errorf("%q: got %q, want %q", line, got, want)
		}
	}
	for _, context := range []string{"away.json", "nobody"} {
		if got := tab("deadletters show ", "NATS_URL=", "NATS_CONTEXT="+context); got != "" {
			t.Errorf("%s: got %q, want nothing, and nobody told", context, got)
		}
	}
}

// The other shells' scripts are there.
func TestCompletionScripts(t *testing.T) {
	t.Parallel()
	for _, shell := range []string{"bash", "zsh", "fish", "powershell"} {
		if code, out, errs := invoke(t, "", "completion", shell); code != 0 || errs != "" || !strings.Contains(out, fmt.Sprintf("# %s completion ", shell)) {
			t.Errorf("%s: exit code %d: %.200s%s", shell, code, out, errs)
		}
	}
}

// Names of files are suggested where a file is wanted alone.
func TestFilesAreCompleted(t *testing.T) {
	t.Parallel()
	for line, want := range map[string]string{
		"batch run ": ":0", "batch run x -o ": ":0", "batch run --template ": ":0", "--config ": ":8", "cancel ": ":4", "serve ": ":4", "ask ": ":4",
	} {
		if code, out, errs := invoke(t, "", append([]string{"__complete"}, strings.Split(line, " ")...)...); code != 0 || !strings.HasSuffix(strings.TrimSpace(out), want) {
			t.Errorf("%q: exit code %d: %s%s, want cobra's directive %s", line, code, out, errs, want)
		}
	}
}
