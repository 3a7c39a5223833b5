package events_test

import (
	"errors"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gemini-client/events"
)

func TestDecodeWithoutID(t *testing.T) {
	t.Parallel()
	tests := map[string]struct{ body, want string }{
		"empty":                  {"", "the body is not JSON at offset 0 of 0"},
		"space":                  {" \n", "the body is not JSON at offset 2 of 2"},
		"a word":                 {"hello", "the body is not JSON at offset 0 of 5"},
		"cut off":                {`{"request_id":"` + someID, "the body is not JSON at offset 51 of 51"},
		"a wrong character":      {`{"request_id":"` + someID + `";}`, "the body is not JSON at offset 52 of 54"},
		"a raw line break":       {`{"prompt":"` + "\n" + `"}`, "the body is not JSON at offset 11 of 14"},
		"a byte order mark":      {"\ufeff" + asked(), "the body is not JSON at offset 0 of 70"},
		"nested beyond measure":  {strings.Repeat("[", 1e6), "the body is not JSON at offset 10000 of 1000000"},
		"objects beyond measure": {`{"request_id":"` + someID + `","metadata":` + strings.Repeat(`{"a":`, 2e5), "the body is not JSON at offset 50059 of 1000064"},
		"a list":                 {`[{"request_id":"` + someID + `"}]`, "the body is a list, not an object"},
		"a string":               {`"` + someID + `"`, "the body is a string, not an object"},
		"null":                   {"null", "the body is null, not an object"},
		"a number, and more":     {"1 {}", "the body is a number, not an object"},
		"no id":                  {`{"prompt":"Hi"}`, "request_id is missing"},
		"id in another case":     {`{"Request_ID":"` + someID + `"}`, "request_id is missing"},
		"id null":                {`{"request_id":null}`, "request_id is null, not a UUID string"},
		"id a number":            {`{"request_id":12}`, "request_id is 12, not a UUID string"},
		"id twice":               {body(`"request_id":"` + someID + `"`), "request_id is given more than once"},
		"id empty":               {`{"request_id":""}`, `request_id is the string "", not a UUID`},
		"id without dashes":      {`{"request_id":"0190f5a17c3e7b1a9a552f6e1c0d4b3a"}`, `request_id is the string "0190f5a17c3e7b1a9a552f6e1c0d4b3a", not a UUID`},
		"id in braces":           {`{"request_id":"{` + someID + `}"}`, `request_id is the string "{` + someID + `}", not a UUID`},
		"id as a URN":            {`{"request_id":"urn:uuid:` + someID + `"}`, `request_id is the string "urn:uuid:0190f5a1-7c3e-7b1a-9a55-2f6e1c0"…, not a UUID`},
		"id with a wildcard":     {`{"request_id":"0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3>"}`, `request_id is the string "0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3>", not a UUID`},
		"id with dashes astray":  {`{"request_id":"0190f5a17-c3e-7b1a-9a55-2f6e1c0d4b3a"}`, `request_id is the string "0190f5a17-c3e-7b1a-9a55-2f6e1c0d4b3a", not a UUID`},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rules()
			r.MaxBytes = 1 // The size is not checked without a usable id.
			request, err := r.Decode([]byte(tt.body), now())
			if want := "request has no usable request_id: " + tt.want; !errors.Is(err, events.ErrNoID) || err.Error() != want {
				t.Errorf("Decode(%s)\n got error %v\nwant %s", cut(tt.body), err, want)
			}
			if failure, ok := errors.AsType[events.Failure](err); ok {
				t.Errorf("Decode(%s)\n got the Failure %v\nwant none: nobody can be answered", cut(tt.body), failure)
			}
			if diff := cmp.Diff(events.Request{}, request); diff != "" {
				t.Errorf("Decode(%s): -want +got\n%s", cut(tt.body), diff)
			}
		})
	}
}

// What the failed result needs is returned, whatever else is broken.
func TestDecodeAnswerable(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		rules func(*events.Rules)
		body  string
		code  events.Code
		want  events.Request
	}{
		"all of it": {
			nil, `{"request_id":"0190F5A1-7c3e-7b1a-9a55-2f6e1c0d4b3a","callback_queue":"gemini.b","metadata":{ "a":1 },"retry_count":2}`,
			events.InvalidRequest,
			events.Request{ID: "0190F5A1-7c3e-7b1a-9a55-2f6e1c0d4b3a", CallbackQueue: "gemini.b", Metadata: raw(`{ "a":1 }`), RetryCount: 2},
		},
		"callback not allowed": {
			nil, asked(`"callback_queue":"gemini.c","metadata":{}`), events.CallbackNotAllowed,
			events.Request{ID: someID, CallbackQueue: "gemini.responses", Metadata: raw(`{}`)},
		},
		"callback below an allowed one": {
			nil, asked(`"callback_queue":"gemini.b.x"`), events.CallbackNotAllowed,
			events.Request{ID: someID, CallbackQueue: "gemini.responses"},
		},
		"callback in another case": {
			nil, asked(`"callback_queue":"Gemini.b"`), events.CallbackNotAllowed,
			events.Request{ID: someID, CallbackQueue: "gemini.responses"},
		},
		"the default spelt out where it is not allowed": {
			func(r *events.Rules) { r.Callbacks = []string{"gemini.b"} },
			asked(`"callback_queue":"gemini.responses"`), events.CallbackNotAllowed,
			events.Request{ID: someID, CallbackQueue: "gemini.responses"},
		},
		"callback twice": {
			nil, asked(`"callback_queue":"gemini.b","callback_queue":"gemini.b"`), events.InvalidRequest,
			events.Request{ID: someID, CallbackQueue: "gemini.responses"},
		},
		"too large": {
			func(r *events.Rules) { r.MaxBytes = 100 },
			asked(`"callback_queue":"gemini.c","metadata":{"a":"` + strings.Repeat("x", 100) + `"}`), events.PayloadTooLarge,
			events.Request{ID: someID, CallbackQueue: "gemini.responses", Metadata: raw(`{"a":"` + strings.Repeat("x", 100) + `"}`)},
		},
		"metadata not UTF-8": {
			nil, asked(`"metadata":{"a":"` + "\xff" + `"}`), events.InvalidRequest,
			events.Request{ID: someID, CallbackQueue: "gemini.responses"},
		},
		"prompt not UTF-8": {
			nil, body(`"prompt":"` + "\xff" + `","metadata":{"a":"ü"}`), events.InvalidRequest,
			events.Request{ID: someID, CallbackQueue: "gemini.responses", Metadata: raw(`{"a":"ü"}`)},
		},
		"metadata twice": {
			nil, asked(`"metadata":{"a":1},"metadata":{"a":2}`), events.InvalidRequest,
			events.Request{ID: someID, CallbackQueue: "gemini.responses"},
		},
		"retry count twice": {
			nil, asked(`"retry_count":1,"retry_count":1`), events.InvalidRequest,
			events.Request{ID: someID, CallbackQueue: "gemini.responses"},
		},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			r := rules()
			r.Callbacks = append(r.Callbacks, "gemini.b")
			if tt.rules != nil {
				tt.rules(&r)
			}
			request, failure := decodeFailure(t, r, tt.body)
			if failure.Code != tt.code {
				t.Errorf("Decode(%s)\n got %v\nwant code %s", cut(tt.body), failure, tt.code)
			}
			if diff := cmp.Diff(tt.want, request); diff != "" {
				t.Errorf("Decode(%s): -want +got\n%s", cut(tt.body), diff)
			}
		})
	}
}

func TestDecodeSizeLimit(t *testing.T) {
	t.Parallel()
	content := asked(`"stream":3`)
	for _, tt := range []struct {
		limit int
		want  events.Failure
	}{
		{0, events.Failure{Code: events.InvalidRequest, Message: "stream: is 3; give true or false"}},
		{len(content), events.Failure{Code: events.InvalidRequest, Message: "stream: is 3; give true or false"}},
		{len(content) - 1, events.Failure{Code: events.PayloadTooLarge, Message: "body: is 78 bytes long; send at most 77 | stream: is 3; give true or false"}},
	} {
		r := rules()
		r.MaxBytes = tt.limit
		if _, got := decodeFailure(t, r, content); got != tt.want {
			t.Errorf("Decode(%s) with a limit of %d bytes\n got %v\nwant %v", content, tt.limit, got, tt.want)
		}
	}
}
