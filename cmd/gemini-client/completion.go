package main

import (
	"context"
	"fmt"
	"io"
	"slices"
	"strings"
	"time"

	"github.com/spf13/cobra"

	"gemini-client/events"
	"gemini-client/service/config"
)

// completionTime bounds how long a shell waits for NATS when Tab is pressed.
const completionTime = time.Second

// suggest is what cobra asks for when Tab is pressed.
type suggest = func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective)

// addCompletion adds cobra's command that prints the shells' scripts, and has them complete
// contexts. Names of files are completed where an argument or a flag is a file, not elsewhere.
func addCompletion(root *cobra.Command) {
	root.CompletionOptions.SetDefaultShellCompDirective(cobra.ShellCompDirectiveNoFileComp)
	root.CompletionOptions.DisableNoDescFlag = true
	completes(root, "context", only(func() []string { return config.ContextNames() }))
	_ = root.MarkPersistentFlagFilename("config", "yaml", "yml") // it is there
	root.InitDefaultCompletionCmd()
	completion, _, err := root.Find([]string{"completion"})
	if err != nil {
		return
	}
	completion.Example = `  gemini-client completion bash | head -1`
	for _, shell := range completion.Commands() {
		shell.Example = map[string]string{
			"bash":       `  source <(gemini-client completion bash)`,
			"zsh":        `  gemini-client completion zsh > _gemini-client`,
			"fish":       `  gemini-client completion fish > gemini-client.fish`,
			"powershell": `  gemini-client completion powershell > gemini-client.ps1`,
		}[shell.Name()]
	}
}

// completes sets what a flag is completed to.
func completes(cmd *cobra.Command, flag string, with suggest) {
	_ = cmd.RegisterFlagCompletionFunc(flag, with) // it is there, and has none
}

// only suggests these and no files.
func only(list func() []string) suggest {
	return func(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
		return list(), cobra.ShellCompDirectiveNoFileComp
	}
}

// files has the shell suggest files.
func files(*cobra.Command, []string, string) ([]cobra.Completion, cobra.ShellCompDirective) {
	return nil, cobra.ShellCompDirectiveDefault
}

// models suggests those that the settings name; nobody is asked.
func (s *source) models() suggest {
	return only(func() (names []string) {
		c, _, _ := s.load() // with a broken setting the others are there
		for _, name := range append(append([]string{c.DefaultModel()}, c.Fallbacks()...), c.ModelsAllow...) {
			if !strings.ContainsAny(name, `*?[\`) && !slices.Contains(names, name) {
				names = append(names, name)
			}
		}
		return names
	})
}

// codes are the failure codes.
func codes() (names []string) {
	for _, code := range events.Codes() {
		names = append(names, string(code))
	}
	return names
}

// deadLetterNames suggests the request_ids of dead letters, and their sequences too if
// withSequences is set: at most so many arguments, 0 for any number. Where NATS does not
// answer there is nothing to suggest, and nobody to tell.
func (s *source) deadLetterNames(most int, withSequences bool) suggest {
	return func(cmd *cobra.Command, args []string, _ string) (names []cobra.Completion, _ cobra.ShellCompDirective) {
		if most > 0 && len(args) >= most {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		ctx, cancel := context.WithTimeout(cmd.Context(), completionTime)
		defer cancel()
		a, err := openAdminClient(ctx, s, streams{out: io.Discard, err: io.Discard})
		if err != nil {
			return nil, cobra.ShellCompDirectiveNoFileComp
		}
		defer a.close()
		deadLetters, _ := a.deadLetters(ctx, selection{code: "*", id: "*", limit: listed})
		for _, l := range deadLetters {
			if withSequences {
				names = append(names, cobra.CompletionWithDesc(fmt.Sprint(l.Sequence), string(l.Code)+" "+l.RequestID))
			}
			if l.RequestID != "" {
				names = append(names, cobra.CompletionWithDesc(l.RequestID, string(l.Code)))
			}
		}
		return slices.DeleteFunc(names, func(name cobra.Completion) bool {
			name, _, _ = strings.Cut(name, "\t")
			return slices.Contains(args, name)
		}), cobra.ShellCompDirectiveNoFileComp
	}
}
