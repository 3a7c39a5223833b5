package main

import (
	"flag"
	"fmt"
	"os"
	"strings"
	"testing"

	"github.com/spf13/cobra"
)

var update = flag.Bool("update", false, "write the tables of README.md") //nolint:gochecknoglobals // flags of a test binary are

// README.md's lists of commands and settings are made from the program: `make
// tidy` writes them anew.
func TestReadmeTables(t *testing.T) {
	const path = "README.md"
	text := readFile(t, path)
	_, configuration, _ := invoke(t, "", "config", "--markdown")
	for name, want := range map[string]string{"configuration": configuration, "commands": commandList(rootCommand(streams{}))} {
		begin, end := "<!-- "+name+" -->\n", "<!-- /"+name+" -->"
		before, rest, ok := strings.Cut(text, begin)
		list, after, ok2 := strings.Cut(rest, end)
		if !ok || !ok2 {
			t.Fatalf("%s has no %s … %s", path, begin, end)
		}
		if list != want && !*update {
			t.Errorf("the %s of %s are stale: run `make tidy`\n got:\n%s\nwant:\n%s", name, path, list, want)
		}
		text = before + begin + want + end + after
	}
	if *update {
		if err := os.WriteFile(path, []byte(text), 0o644); err != nil {
			t.Fatal(err)
		}
	}
}

// commandList is every command with its flags, as Markdown.
func commandList(c *cobra.Command) string {
	if !c.HasSubCommands() {
		flags := c.NonInheritedFlags().FlagUsages()
		if flags != "" {
			flags = "\n" + flags
		}
		return fmt.Sprintf("**%s**\n\n```\n%s\n%s```\n\n", c.Short, c.UseLine(), flags)
	}
	var b strings.Builder
	for _, sub := range c.Commands() {
		if sub.IsAvailableCommand() {
			b.WriteString(commandList(sub))
		}
	}
	return b.String()
}

func readFile(t *testing.T, path string) string {
	t.Helper()
	text, err := os.ReadFile(path)
	if err != nil {
		t.Fatal(err)
	}
	return string(text)
}
