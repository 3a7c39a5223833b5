package main

import (
	"context"
	"strings"
	"testing"
	"time"

	"gemini-client/service/servicetest"
)

// No command prints a password of NATS_URL, or of a context, whatever is wrong with it.
func TestNoCommandPrintsAPassword(t *testing.T) {
	t.Parallel()
	commands := [][]string{
		{"ask", "hi"},
		{"batch", "run", "--prompt", "-"},
		{"provision"},
		{"status"},
		{"cancel", servicetest.NewID()},
		{"pause"},
		{"resume"},
		{"deadletters", "list"},
		{"serve"},
		{"config"},
		{"doctor"},
		{"__complete", "deadletters", "show", ""},
	}
	for name, url := range map[string]string{
		"nobody listens": "nats://me:hunter2@127.0.0.1:1", "no URL": "nats://me:hunter2@bad host", "no scheme": "me:hunter2@127.0.0.1:1",
		"a token": "nats://hunter2@127.0.0.1:1", "another address": "nats://me:hunter2@192.0.2.1:1", "a percent sign": "nats://me:hunter2@%zz",
		"two servers": "nats://127.0.0.1:1,nats://me:hunter2@127.0.0.1:2",
		"a slash":     "nats://me:hunter2/x@127.0.0.1:1", "a question mark": "nats://me:hunter2?x@127.0.0.1:1", "a hash": "nats://me:hunter2#x@127.0.0.1:1",
		"a comma": "nats://me:hunter2,x@127.0.0.1:1",
	} {
		p := newProgram(t, map[string]any{"OPENROUTER_API_KEYS": []string{servicetest.Key}, "HTTP_ADDR": "127.0.0.1:0", "NATS_STORE_DIR": t.TempDir(), "NATS_URL": url})
		for _, args := range commands {
			t.Run(name+" "+args[0], func(t *testing.T) { printsNoPassword(t, append([]string{"--config", p.file}, args...)) })
		}
		inContext := contextFile(t, map[string]string{"url": url})
		for _, args := range commands {
			t.Run(name+" in a context "+args[0], func(t *testing.T) {
				printsNoPassword(t, append([]string{"--config", p.file, "--context", inContext}, args...))
			})
		}
	}
	const nobody = "nats://127.0.0.1:1"
	for name, fields := range map[string]map[string]string{
		"password": {"url": nobody, "user": "me", "password": "hunter2"}, "token": {"url": nobody, "token": "hunter2"},
		"proxy": {"url": nobody, "socks_proxy": "socks5://me:hunter2@127.0.0.1:1"}, "no proxy": {"socks_proxy": "socks5://me:hunter2@bad host"}, "a percent sign": {"socks_proxy": "socks5://me:hunter2@%zz"},
		"no creds": {"creds": "/no/such", "password": "hunter2"}, "a JWT": {"user_jwt": "hunter2"},
	} {
		p := newProgram(t, map[string]any{"OPENROUTER_API_KEYS": []string{servicetest.Key}, "HTTP_ADDR": "127.0.0.1:0"})
		inContext := contextFile(t, fields)
		for _, args := range commands {
			t.Run("context with "+name+" "+args[0], func(t *testing.T) {
				printsNoPassword(t, append([]string{"--config", p.file, "--context", inContext}, args...))
			})
		}
	}
	for _, url := range []string{"nats://me:hunter2@192.0.2.1:1", "nats://me:hunter2@%zz", "nats://me:hunter2@bad host", "nats://me:hunter2/x@127.0.0.1:1"} {
		p := newProgram(t, map[string]any{"OPENROUTER_API_KEYS": []string{servicetest.Key}, "NATS_URL": url})
		if code, out, errs := p.invoke("", "serve", "--embedded"); code != 2 || strings.Contains(out+errs, "hunter2") {
			t.Errorf("serve --embedded with %s: exit code %d: %s%s", url, code, out, errs)
		}
	}
}

func printsNoPassword(t *testing.T, args []string) {
	t.Helper()
	t.Parallel()
	ctx, cancel := context.WithTimeout(t.Context(), time.Second)
	defer cancel()
	var out, errs output
	run(ctx, args, streams{strings.NewReader("hi"), &out, &errs})
	if text := out.String() + errs.String(); strings.Contains(text, "hunter2") || text == "" {
		t.Errorf("it prints %q", text)
	}
}
