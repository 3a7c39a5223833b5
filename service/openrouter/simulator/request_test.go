package simulator_test

import (
	"net/http"
	"strings"
	"testing"

	"gemini-client/service/openrouter/simulator"
)

func TestBodiesThatAreRefused(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	user := []any{fields{"role": "user", "content": "why?"}}
	for name, test := range map[string]struct {
		body string
		want string
	}{
		"no JSON":            {"{", "Invalid JSON"},
		"no object":          {"[]", "Invalid JSON"},
		"empty":              {"", "Invalid JSON"},
		"no messages":        {`{"model":"google/gemini-2.5-flash"}`, `Input required: specify`},
		"empty messages":     {chatBody("", fields{"messages": []any{}}), "Input required"},
		"unknown role":       {chatBody("", fields{"messages": []any{fields{"role": "robot", "content": "x"}}}), "messages.0.role"},
		"a number as text":   {chatBody("", fields{"messages": []any{fields{"role": "user", "content": 7}}}), "Invalid input"},
		"temperature high":   {chatBody("why?", fields{"temperature": 2.1}), "temperature"},
		"temperature low":    {chatBody("why?", fields{"temperature": -0.1}), "temperature"},
		"temperature type":   {chatBody("why?", fields{"temperature": "hot"}), "temperature: Invalid input: unexpected string"},
		"top_p":              {chatBody("why?", fields{"top_p": 1.1}), "top_p"},
		"top_k":              {chatBody("why?", fields{"top_k": -1}), "top_k"},
		"max_tokens":         {chatBody("why?", fields{"max_tokens": 0}), "max_tokens"},
		"the other limit":    {chatBody("why?", fields{"max_completion_tokens": 0}), "max_tokens"},
		"five stops":         {chatBody("why?", fields{"stop": []string{"1", "2", "3", "4", "5"}}), "stop"},
		"effort and budget":  {chatBody("why?", fields{"reasoning": fields{"effort": "low", "max_tokens": 5}}), "reasoning"},
		"unknown preference": {chatBody("why?", fields{"provider": fields{"sorted": 1, "only": []string{}}}), "Unrecognized key(s) in object: 'sorted'"},
		"four models":        {chatBody("why?", fields{"models": []string{"google/a", "google/b", "google/c", "google/d"}}), "'models' array must have 3 items or fewer."},
		"unknown author":     {chatBody("why?", fields{"model": "acme/fake"}), "acme/fake is not a valid model ID"},
		"bare model":         {chatBody("why?", fields{"model": "gemini-2.5-flash"}), "not a valid model ID"},
		"model without slug": {chatBody("why?", fields{"model": "google/"}), "not a valid model ID"},
	} {
		got := b.do(t.Context(), http.MethodPost, "/api/v1/chat/completions", testKey, test.body)
		if got.status != http.StatusBadRequest || !strings.Contains(got.body, test.want) {
			t.Errorf("%s: got %d %s, want 400 with %s", name, got.status, got.body, test.want)
		}
		if outcome := b.last(t).Outcome; outcome != simulator.OutcomeInvalid {
			t.Errorf("%s: outcome %q", name, outcome)
		}
	}
	for name, more := range map[string]fields{
		"limits":      {"temperature": 2, "top_p": 1, "top_k": 0, "max_tokens": 1, "stop": []string{"1", "2", "3", "4"}},
		"preferences": {"provider": fields{"sort": "price", "zdr": true, "max_price": fields{"prompt": 1}}},
		"not ours":    {"user": "u", "metadata": fields{"a": "b"}, "unknown": 1, "messages": user, "stop": nil, "tools": nil},
		"required":    {"provider": fields{"require_parameters": true}, "top_p": 0.5, "temperature": 1, "seed": 1},
	} {
		if got := b.chat(t, "why?", more); got.status != http.StatusOK {
			t.Errorf("%s: got %d %s, want 200", name, got.status, got.body)
		}
	}
}

func TestRequiredParameters(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	got := b.chat(t, "why?", fields{"provider": fields{"require_parameters": true}, "top_k": 40})
	for _, want := range []string{`"code":"constraint_filtered"`, `"excluded_by":["require_parameters"]`, "top_k"} {
		if got.status != http.StatusNotFound || !strings.Contains(got.body, want) {
			t.Errorf("got %d %s, want 404 with %s", got.status, got.body, want)
		}
	}
}

func TestATooLargeBodyIsRefused(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	body := strings.Repeat(" ", 64<<20+1)
	got := b.do(t.Context(), http.MethodPost, "/api/v1/chat/completions", testKey, body)
	if got.err == nil && got.status != http.StatusRequestEntityTooLarge {
		t.Errorf("got %d, want 413", got.status)
	}
	if c := b.last(t); c.Outcome != simulator.OutcomeInvalid && c.Outcome != simulator.OutcomeCancelled {
		t.Errorf("outcome %q", c.Outcome)
	}
}

func TestKeys(t *testing.T) {
	t.Parallel()
	const management = "sk-or-v1-management"
	own := start(t, simulator.Config{Keys: []string{testKey}, ManagementKey: management})
	open := start(t, simulator.Config{})
	for name, test := range map[string]struct {
		b      *bench
		key    string
		status int
		text   string
	}{
		"own":                  {own, testKey, 200, ""},
		"another":              {own, testKey + "x", 401, "User not found."},
		"none":                 {own, "", 401, "No auth credentials found"},
		"management":           {own, management, 403, "Management keys"},
		"any":                  {open, "sk-or-v1-whatever", 200, ""},
		"of another provider":  {open, "AIzaSy-something", 401, "User not found."},
		"none where any would": {open, "", 401, "No auth credentials found"},
	} {
		got := test.b.do(t.Context(), http.MethodPost, "/api/v1/chat/completions", test.key, chatBody("why?", nil))
		if got.status != test.status || !strings.HasPrefix(parse[whole](t, got.body).Error.Message, test.text) {
			t.Errorf("%s: got %d %s, want %d %s", name, got.status, got.body, test.status, test.text)
		}
	}
}

func TestOtherEndpoints(t *testing.T) {
	t.Parallel()
	const management = "sk-or-v1-management"
	b := start(t, simulator.Config{
		ManagementKey: management, Expirations: map[string]string{"google/gemini-2.5-flash": "2026-10-16"},
	})
	id := b.chat(t, "why?", nil).header.Get("X-Generation-Id")
	for name, test := range map[string]struct {
		path, key string
		status    int
		want      string
	}{
		"key":                {"/api/v1/key", testKey, 200, `"limit":null,"limit_remaining":null,"limit_reset":null`},
		"key, old path":      {"/api/v1/auth/key", testKey, 200, `"label":"sk-or-..."`},
		"key of management":  {"/api/v1/key", management, 200, `"is_management_key":true`},
		"key, none":          {"/api/v1/key", "", 401, "Missing Authentication header"},
		"key, bad":           {"/api/v1/key", "bad", 401, "User not found."},
		"credits":            {"/api/v1/credits", testKey, 403, "Only management keys can perform this operation"},
		"credits, none":      {"/api/v1/credits", "", 401, "Missing Authentication header"},
		"credits, allowed":   {"/api/v1/credits", management, 200, `"total_credits":100,"total_usage":0.0`},
		"model":              {"/api/v1/model/google/gemini-2.5-flash", "", 200, `"expiration_date":"2026-10-16"`},
		"model, lasting":     {"/api/v1/model/google/gemini-3.5-flash-lite", "", 200, `"expiration_date":null`},
		"model, price":       {"/api/v1/model/google/gemini-2.5-flash", "", 200, `"pricing":{"completion":"0.0000025","input_cache_read":"0.00000003","internal_reasoning":"0.0000025","prompt":"0.0000003"}`},
		"model, free":        {"/api/v1/model/google/gemini-2.5-flash:free", "", 200, `"prompt":"0"`},
		"model, stranger":    {"/api/v1/model/acme/fake", "", 404, "Resource not found"},
		"models":             {"/api/v1/models", "", 200, `"total_count":5`},
		"generation":         {"/api/v1/generation?id=" + id, testKey, 200, `"finish_reason":"stop"`},
		"generation, none":   {"/api/v1/generation?id=gen-1", testKey, 404, "not found"},
		"generation, no key": {"/api/v1/generation?id=" + id, "", 401, "Missing Authentication header"},
		"elsewhere":          {"/api/v2/key", testKey, 404, "Not Found"},
	} {
		if got := b.get(t, test.path, test.key); got.status != test.status || !strings.Contains(got.body, test.want) {
			t.Errorf("%s: got %d %s, want %d with %s", name, got.status, got.body, test.status, test.want)
		}
	}
	if b.Count() != 1 {
		t.Errorf("%d calls, want the one chat call alone", b.Count())
	}
}
