package events_test

import (
	"fmt"
	"strings"
	"testing"
	"unicode/utf8"

	"github.com/google/go-cmp/cmp"

	"gemini-client/events"
)

// brokenBodies breaks one rule each. want is the whole text. inSchema
// is true if the JSON Schema can express the rule, and so must refuse the body too.
func brokenBodies() map[string]struct {
	body, want string
	inSchema   bool
} {
	const times = "; give a time like 2025-12-08T10:11:12.123456Z"
	const noModel = `, which is not allowed; give a model that matches one of "google/*", "~google/*"`
	const noName = ", which is no model's name: those have at most 128 characters, and no spaces among them"
	return map[string]struct {
		body, want string
		inSchema   bool
	}{
		"no prompt":                  {body(), "prompt: is missing; give a string of at least 1 character, or messages", true},
		"empty prompt":               {body(`"prompt":""`), "prompt: is empty; give at least 1 character", true},
		"null prompt":                {body(`"prompt":null`), "prompt: is null; give a string of at least 1 character, or messages", true},
		"prompt a list":              {body(`"prompt":["` + secret + `"]`), "prompt: is a list; give a string of at least 1 character, or messages", true},
		"prompt and messages":        {asked(`"messages":[{"role":"user"}]`), "prompt and messages: are both given; give one of them", true},
		"null and null":              {body(`"prompt":null,"messages":null`), "prompt: is null; give a string of at least 1 character, or messages", true},
		"messages a string":          {body(`"messages":"` + secret + `"`), "messages: is a string; give a list of messages", true},
		"messages empty":             {body(`"messages":[]`), "messages: is empty; give at least one message, or a prompt", true},
		"message a string":           {body(`"messages":["` + secret + `"]`), "messages[0]: is a string; give an object with a role", true},
		"message without role":       {body(`"messages":[{"role":"user"},{"content":"` + secret + `"}]`), `messages[1].role: is missing or not a string; give a string such as "user"`, true},
		"role a number":              {body(`"messages":[{"role":1}]`), `messages[0].role: is missing or not a string; give a string such as "user"`, true},
		"role in another case":       {body(`"messages":[{"Role":"user"}]`), `messages[0].role: is missing or not a string; give a string such as "user"`, true},
		"model null":                 {asked(`"model":null`), "model: is null; give a string", true},
		"model elsewhere":            {asked(`"model":"openai/gpt-5"`), `model: is "openai/gpt-5"` + noModel, false},
		"model with two slashes":     {asked(`"model":"google/x/y"`), `model: is "google/x/y"` + noModel, false},
		"model empty":                {asked(`"model":""`), `model: is ""` + noModel, false},
		"model long":                 {asked(`"model":"` + strings.Repeat("x", 128) + `"`), `model: is "` + strings.Repeat("x", 40) + `"…` + noModel, false},
		"model too long":             {asked(`"model":"google/` + strings.Repeat("x", 122) + `"`), `model: is "google/` + strings.Repeat("x", 33) + `"…` + noName, true},
		"model a sentence":           {asked(`"model":"google/Tell me"`), `model: is "google/Tell me"` + noName, true},
		"model not ASCII":            {asked(`"model":"` + strings.Repeat("é", 41) + `"`), `model: is "` + strings.Repeat("é", 40) + `"…` + noName, true},
		"model with a control code":  {asked(`"model":"google/x\u0007"`), `model: is "google/x\a"` + noName, true},
		"fallback a sentence":        {asked(`"openrouter":{"models":["google/Tell me"]}`), `openrouter.models[0]: is "google/Tell me"` + noName, true},
		"model online":               {asked(`"model":"gemini-2.5-flash:online"`), `model: is "gemini-2.5-flash:online", whose suffix :online turns on the plugin "web", which is not allowed; leave the suffix out`, false},
		"model online and more":      {asked(`"model":"google/gemini-2.5-flash:nitro:Online"`), `model: is "google/gemini-2.5-flash:nitro:Online", whose suffix :online turns on the plugin "web", which is not allowed; leave the suffix out`, false},
		"parameters null":            {asked(`"parameters":null`), "parameters: is null; give an object or leave it out", true},
		"parameters a list":          {asked(`"parameters":[]`), "parameters: is a list; give an object or leave it out", true},
		"temperature low":            {asked(`"parameters":{"temperature":-0.1}`), "parameters.temperature: is -0.1; give a number from 0 to 2", true},
		"temperature high":           {asked(`"parameters":{"temperature":2.01}`), "parameters.temperature: is 2.01; give a number from 0 to 2", true},
		"temperature huge":           {asked(`"parameters":{"temperature":1e999}`), "parameters.temperature: is 1e999; give a number from 0 to 2", true},
		"temperature null":           {asked(`"parameters":{"temperature":null}`), "parameters.temperature: is null; give a number from 0 to 2", true},
		"temperature a string":       {asked(`"parameters":{"temperature":"0.7"}`), `parameters.temperature: is the string "0.7"; give a number from 0 to 2`, true},
		"top_p high":                 {asked(`"parameters":{"top_p":1.1}`), "parameters.top_p: is 1.1; give a number from 0 to 1", true},
		"top_p low":                  {asked(`"parameters":{"top_p":-1}`), "parameters.top_p: is -1; give a number from 0 to 1", true},
		"top_k low":                  {asked(`"parameters":{"top_k":0}`), "parameters.top_k: is 0; give an integer from 1 to 100", true},
		"top_k high":                 {asked(`"parameters":{"top_k":101}`), "parameters.top_k: is 101; give an integer from 1 to 100", true},
		"top_k with a fraction":      {asked(`"parameters":{"top_k":40.5}`), "parameters.top_k: is 40.5; give an integer from 1 to 100", true},
		"top_k a boolean":            {asked(`"parameters":{"top_k":true}`), "parameters.top_k: is true; give an integer from 1 to 100", true},
		"max_output_tokens low":      {asked(`"parameters":{"max_output_tokens":0}`), "parameters.max_output_tokens: is 0; give an integer from 1 to 32768", true},
		"max_output_tokens high":     {asked(`"parameters":{"max_output_tokens":32769}`), "parameters.max_output_tokens: is 32769; give an integer from 1 to 32768", true},
		"candidate_count low":        {asked(`"parameters":{"candidate_count":0}`), "parameters.candidate_count: is 0; give an integer from 1 to 8", true},
		"candidate_count high":       {asked(`"parameters":{"candidate_count":9}`), "parameters.candidate_count: is 9; give an integer from 1 to 8", true},
		"stop_sequences a string":    {asked(`"parameters":{"stop_sequences":"END"}`), `parameters.stop_sequences: is the string "END"; give a list of strings or null`, true},
		"stop sequence a number":     {asked(`"parameters":{"stop_sequences":["a",2]}`), "parameters.stop_sequences[1]: is 2; give a string", true},
		"system_instruction a list":  {asked(`"system_instruction":["` + secret + `"]`), "system_instruction: is a list; give a string", true},
		"callback_queue null":        {asked(`"callback_queue":null`), "callback_queue: is null; give a string", true},
		"timestamp null":             {asked(`"timestamp":null`), "timestamp: is null" + times, true},
		"timestamp a number":         {asked(`"timestamp":1765188672`), "timestamp: is 1765188672" + times, true},
		"timestamp a date":           {asked(`"timestamp":"2025-12-08"`), `timestamp: is the string "2025-12-08"` + times, true},
		"timestamp on February 30":   {asked(`"timestamp":"2025-02-30T00:00:00"`), `timestamp: is the string "2025-02-30T00:00:00"` + times, false},
		"deadline a number":          {asked(`"deadline":60`), "deadline: is 60" + times, true},
		"retry_count negative":       {asked(`"retry_count":-1`), "retry_count: is -1; give an integer of 0 or more", true},
		"retry_count null":           {asked(`"retry_count":null`), "retry_count: is null; give an integer of 0 or more", true},
		"retry_count a fraction":     {asked(`"retry_count":0.5`), "retry_count: is 0.5; give an integer of 0 or more", true},
		"retry_count a string":       {asked(`"retry_count":"1"`), `retry_count: is the string "1"; give an integer of 0 or more`, true},
		"retry_count far below zero": {asked(`"retry_count":-1e999`), "retry_count: is -1e999; give an integer of 0 or more", true},
		"metadata a string":          {asked(`"metadata":"` + secret + `"`), "metadata: is a string; give an object or null", true},
		"metadata a list":            {asked(`"metadata":[]`), "metadata: is a list; give an object or null", true},
		"stream a string":            {asked(`"stream":"yes"`), `stream: is the string "yes"; give true or false`, true},
		"stream a number":            {asked(`"stream":1`), "stream: is 1; give true or false", true},
		"openrouter a list":          {asked(`"openrouter":[]`), "openrouter: is a list; give an object or null", true},
		"models a string":            {asked(`"openrouter":{"models":"google/x"}`), `openrouter.models: is the string "google/x"; give a list of strings or null`, true},
		"models with a number":       {asked(`"openrouter":{"models":["google/x",1]}`), "openrouter.models[1]: is 1; give a string", true},
		"models elsewhere":           {asked(`"openrouter":{"models":["google/x","openai/y"]}`), `openrouter.models[1]: is "openai/y"` + noModel, false},
		"models online":              {asked(`"openrouter":{"models":["google/x:online"]}`), `openrouter.models[0]: is "google/x:online", whose suffix :online turns on the plugin "web", which is not allowed; leave the suffix out`, false},
		"models with an escaped key": {asked(`"openrouter":{"mod\u0065ls":["openai/y"]}`), `openrouter.models[0]: is "openai/y"` + noModel, false},
		"plugins an object":          {asked(`"openrouter":{"plugins":{"id":"web"}}`), "openrouter.plugins: is an object; give a list of objects", true},
		"plugin a string":            {asked(`"openrouter":{"plugins":["web"]}`), `openrouter.plugins[0]: is the string "web"; give an object`, true},
		"plugin without id":          {asked(`"openrouter":{"plugins":[{"ID":"file-parser"}]}`), "openrouter.plugins[0].id: is missing; give the plugin's id", true},
		"plugin id a number":         {asked(`"openrouter":{"plugins":[{"id":1}]}`), "openrouter.plugins[0].id: is 1; give a string", true},
		"plugin not allowed":         {asked(`"openrouter":{"plugins":[{"id":"file-parser"},{"id":"web"}]}`), `openrouter.plugins[1].id: is "web", which is not allowed; allowed are "file-parser"`, false},
		"tools an object":            {asked(`"openrouter":{"tools":{}}`), "openrouter.tools: is an object; give a list of objects", true},
		"tool a string":              {asked(`"openrouter":{"tools":["x"]}`), `openrouter.tools[0]: is the string "x"; give an object`, true},
		"tool type a number":         {asked(`"openrouter":{"tools":[{"type":1}]}`), "openrouter.tools[0].type: is 1; give a string", true},
		"a server tool":              {asked(`"openrouter":{"tools":[{"type":"function"},{"type":"openrouter:web_search"}]}`), `openrouter.tools[1].type: is "openrouter:web_search", a server tool, which is not allowed; allowed are "file-parser"`, false},
		"field twice":                {asked(`"stream":true,"stream":true`), "stream: is given more than once; give it once", false},
		"field thrice":               {asked(`"stream":true,"str\u0065am":1,"stream":null`), "stream: is given more than once; give it once", false},
		"prompt twice":               {asked(`"prompt":"Hi"`), "prompt: is given more than once; give it once", false},
		"messages twice":             {body(`"messages":[{"role":"user"}],"messages":null,"prompt":null`), "messages: is given more than once; give it once", false},
		"parameter twice":            {asked(`"parameters":{"top_k":1,"top_k":2}`), "parameters.top_k: is given more than once; give it once", false},
		"role twice":                 {body(`"messages":[{"role":"user","role":"system"}]`), "messages[0].role: is given more than once; give it once", false},
		"openrouter field twice":     {asked(`"openrouter":{"seed":1,"seed":2}`), "openrouter.seed: is given more than once; give it once", false},
		"plugin id twice":            {asked(`"openrouter":{"plugins":[{"id":"web","id":"file-parser"}]}`), "openrouter.plugins[0].id: is given more than once; give it once", false},
		"tool type twice":            {asked(`"openrouter":{"tools":[{"type":"openrouter:x","type":"function"}]}`), "openrouter.tools[0].type: is given more than once; give it once", false},
		"something after the object": {asked() + " {}", "body: goes on after the object; send one object alone", false},
		"not UTF-8":                  {asked(`"x":"` + "\ufffd\xff" + `"`), "body: is not UTF-8 at offset 75; send UTF-8", false},
	}
}

func TestDecodeBroken(t *testing.T) {
	t.Parallel()
	for name, tt := range brokenBodies() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			request, failure := decodeFailure(t, rules(), tt.body)
			if want := (events.Failure{Code: events.InvalidRequest, Message: tt.want}); failure != want {
				t.Errorf("Decode(%s)\n got %v\nwant %v", cut(tt.body), failure, want)
			}
			want := events.Request{ID: someID, CallbackQueue: "gemini.responses"}
			if diff := cmp.Diff(want, request); diff != "" {
				t.Errorf("Decode(%s): what the answer needs: -want +got\n%s", cut(tt.body), diff)
			}
		})
	}
}

func TestDecodeRefusedOpenRouterFields(t *testing.T) {
	t.Parallel()
	for _, field := range []string{
		"model", "messages", "prompt", "stream", "stream_options", "usage", "max_tokens", "max_completion_tokens",
		"temperature", "top_p", "top_k", "stop", "n", "debug",
	} {
		body := asked(`"openrouter":{"` + field + `":null}`)
		_, failure := decodeFailure(t, rules(), body)
		if want := "openrouter." + field + ": is not passed on; "; !strings.HasPrefix(failure.Message, want) {
			t.Errorf("Decode(%s)\n got %q\nwant a text that begins %q", body, failure.Message, want)
		}
	}
}

// Every broken rule is named at once, in one text.
func TestDecodeNamesEveryBrokenRule(t *testing.T) {
	t.Parallel()
	body := `{"request_id":"` + someID + `","prompt":"` + secret + `","messages":[],"model":"x/y","retry_count":-1,
		"parameters":{"temperature":3,"top_p":2,"top_k":0,"max_output_tokens":0,"candidate_count":0,"stop_sequences":1},
		"system_instruction":{"a":"` + secret + `"},"callback_queue":"other","timestamp":"x","metadata":["` + secret + `"],
		"stream":0,"deadline":"y","openrouter":{"n":2,"models":["a/b"],"plugins":[{"id":"web"}],"tools":[{"type":"openrouter:z"}]}} trailing`
	_, failure := decodeFailure(t, rules(), body)
	if failure.Code != events.CallbackNotAllowed {
		t.Errorf("Decode(%s)\n got code %s\nwant %s", body, failure.Code, events.CallbackNotAllowed)
	}
	for _, path := range []string{
		"body", "prompt and messages", "model", "retry_count", "parameters.temperature", "parameters.top_p",
		"parameters.top_k", "parameters.max_output_tokens", "parameters.candidate_count", "parameters.stop_sequences",
		"system_instruction", "callback_queue", "timestamp", "metadata", "stream", "deadline", "openrouter.n",
		"openrouter.models[0]", "openrouter.plugins[0].id", "openrouter.tools[0].type",
	} {
		if !strings.HasPrefix(failure.Message, path+": ") && !strings.Contains(failure.Message, " | "+path+": ") {
			t.Errorf("Decode(%s)\n got %q\nwant %s in it", body, failure.Message, path)
		}
	}
}

// No text of a request that may be private is in an error's text.
func TestDecodeKeepsSecrets(t *testing.T) {
	t.Parallel()
	for _, value := range []string{
		`"` + secret + `"`, `["` + secret + `"]`, `{"` + secret + `":"` + secret + `"}`, `[{"role":["` + secret + `"]}]`,
		`[["` + secret + `"]]`, `{"a":1,"a":"` + secret + `"}`,
	} {
		for _, field := range []string{"prompt", "messages", "system_instruction", "metadata"} {
			for _, end := range []string{`}`, `} ` + secret, `,"stream":1}`, `,`, `,"` + secret + `":`, ``} {
				body := `{"request_id":"` + someID + `","` + field + `":` + value + end
				_, err := rules().Decode([]byte(body), now())
				if err != nil && strings.Contains(err.Error(), "launch") {
					t.Errorf("Decode(%s)\n got %q\nwant a text without the value", body, err)
				}
			}
		}
	}
}

// A failure's text stays readable and small whatever is sent.
func TestDecodeFailureTextIsBounded(t *testing.T) {
	t.Parallel()
	tests := map[string]string{
		"many broken entries": asked(`"openrouter":{"plugins":[` + strings.Repeat(`{"id":"`+strings.Repeat("x", 99)+`"},`, 999) + `{}]}`),
		"a long key twice":    asked(fmt.Sprintf(`"openrouter":{"%[1]s":1,"%[1]s":2}`, strings.Repeat("k", 1e6))),
		"a long number":       asked(`"retry_count":-` + strings.Repeat("9", 1e6)),
		"control characters":  asked(`"model":"` + strings.Repeat(`\u0000\u001b`, 1000) + `"`),
		"not UTF-8":           asked(`"model":"` + strings.Repeat("\xff", 1000) + `"`),
	}
	for name, body := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			_, failure := decodeFailure(t, rules(), body)
			if len(failure.Message) > 5000 || !utf8.ValidString(failure.Message) || strings.ContainsAny(failure.Message, "\x00\x1b") {
				t.Errorf("Decode(%s)\n got a text of %d bytes: %q\nwant at most 5000 printable ones", cut(body), len(failure.Message), cut(failure.Message))
			}
		})
	}
	_, failure := decodeFailure(t, rules(), tests["many broken entries"])
	if want := " | and 968 more"; !strings.HasSuffix(failure.Message, want) {
		t.Errorf("Decode of 1000 broken entries\n got a text that ends %q\nwant %q", failure.Message[len(failure.Message)-40:], want)
	}
}
