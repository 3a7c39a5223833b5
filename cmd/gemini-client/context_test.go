package main

import (
	"encoding/json"
	"os"
	"path/filepath"
	"strings"
	"testing"

	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// contextFile is a context of the nats CLI.
func contextFile(t *testing.T, fields map[string]string) string {
	t.Helper()
	file := filepath.Join(t.TempDir(), "test.json")
	text, err := json.Marshal(fields)
	if err == nil {
		err = os.WriteFile(file, text, 0o600)
	}
	if err != nil {
		t.Fatal(err)
	}
	return file
}

// Every command is who its context says: each user of nats.conf has its own account, where
// JetStream has its own prefix, and its own inboxes.
func TestCommandsInAContext(t *testing.T) {
	t.Parallel()
	n, or := servicetest.RunStackNATS(t), servicetest.RunOpenRouter(t, simulator.Config{})
	p := newProgram(t, map[string]any{
		"OPENROUTER_BASE_URL": or.URL, "OPENROUTER_API_KEYS": []string{servicetest.Key}, "HTTP_ADDR": "127.0.0.1:0", "LOG_FORMAT": "json",
		"NATS_URL": "nats://127.0.0.1:1", "NATS_USER": "nobody", "NATS_INBOX_PREFIX": "_NONE",
	})
	as := func(user, api string) string {
		return contextFile(t, map[string]string{"url": n.URL, "user": user, "password": user, "inbox_prefix": "_INBOX_" + user, "jetstream_api_prefix": api})
	}
	admin, backend := as("admin", ""), as("backend", "gemini.js")
	do := func(context string, args ...string) (text string) {
		t.Helper()
		code, out, errs := p.invoke("", append([]string{"--context", context}, args...)...)
		if code != 0 {
			t.Errorf("%v: exit code %d: %s%s", args, code, out, errs)
		}
		return out + errs
	}
	do(admin, "provision")
	p.set("NATS_CONTEXT", as("worker", "gemini.js"))
	p.set("NATS_PROVISION", false)
	out, stop := p.start("serve")
	await(t, out, "answering requests", "model")
	contains(t, do(backend, "ask", "--json", "hello"), `"status":"success"`)
	prompts := filepath.Join(t.TempDir(), "prompts.txt")
	if err := os.WriteFile(prompts, []byte("one\n"), 0o600); err != nil {
		t.Fatal(err)
	}
	contains(t, do(backend, "batch", "run", "--prompt", prompts), `"status":"success"`)
	contains(t, do(admin, "status"), "workers")
	contains(t, do(admin, "deadletters", "list"), "no dead letters")
	contains(t, do(admin, "cancel", servicetest.NewID()), "cancelled")
	do(admin, "pause", "--for", "1m")
	do(admin, "resume")
	contains(t, do(admin, "config"), n.URL, "_INBOX_admin")
	if code := stop(); code != 0 {
		t.Errorf("serve: exit code %d", code)
	}
}

// A context that cannot be used is named, with its file, and so is the server of one that
// does not answer.
func TestUnusableContext(t *testing.T) {
	t.Parallel()
	p := newProgram(t, map[string]any{"OPENROUTER_API_KEYS": []string{servicetest.Key}, "HTTP_ADDR": "127.0.0.1:0"})
	creds := contextFile(t, map[string]string{"url": "nats://127.0.0.1:1", "creds": "/no/such.creds"})
	for _, args := range [][]string{
		{"serve"}, {"ask", "hi"}, {"provision"}, {"config"}, {"status"}, {"cancel", servicetest.NewID()}, {"pause"}, {"resume"}, {"deadletters", "list"}, {"batch", "run", "--prompt", "-"},
	} {
		for context, want := range map[string]string{"nobody": `NATS context "nobody"`, creds: creds + ": creds: open /no/such.creds"} {
			if code, _, errs := p.invoke("x", append([]string{"--context", context}, args...)...); code != exitInvalid || !strings.Contains(errs, want) {
				t.Errorf("%v: exit code %d: %s; want %d and %q", args, code, errs, exitInvalid, want)
			}
		}
	}
	if code, _, errs := p.invoke("", "--context", contextFile(t, map[string]string{}), "serve", "--embedded"); code != exitInvalid || !strings.Contains(errs, "exclude each other") {
		t.Errorf("serve --embedded: exit code %d: %s", code, errs)
	}
}
