package events_test

import (
	"slices"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gemini-client/events"
)

func names() events.Names {
	return events.Names{
		RequestQueue: "gemini.requests", ResponseQueue: "gemini.responses", SubjectPrefix: "gemini", StreamPrefix: "GEMINI",
	}
}

func TestNames(t *testing.T) {
	t.Parallel()
	const id = "0190F5A1-7C3E-7B1A-9A55-2F6E1C0D4B3A"
	n := names()
	got := []string{
		n.Retries(), n.LaterAll(), n.Later("gemini.responses", id), n.ClaimsAll(), n.Claim("gemini.responses", id),
		n.DeadlettersAll(), n.Deadletter(events.RateLimited, id), n.Deadletter(events.InvalidRequest, ""),
		n.Deltas(id), n.CancelsAll(), n.Cancel(id), n.Status(), n.ResponsesAll(),
		n.RequestsStream(), n.RetriesStream(), n.ResponsesStream(), n.ClaimsStream(), n.DeadlettersStream(), n.CancelsStream(), n.BodiesStream(), n.BodiesAll()[0], n.BodiesAll()[1],
		events.Completed("gemini.responses", id), events.Failed("gemini.responses", id), events.AnyResult("gemini.responses", id),
	}
	want := []string{
		"gemini.retries", "gemini.later.>", "gemini.later.gemini.responses." + someID, "gemini.claims.>",
		"gemini.claims.gemini.responses." + someID, "gemini.deadletters.>", "gemini.deadletters.rate_limited." + someID,
		"gemini.deadletters.invalid_request.none", "gemini.deltas." + someID, "gemini.cancels.>", "gemini.cancels." + someID,
		"gemini.status", "gemini.responses.>",
		"GEMINI_REQUESTS", "GEMINI_RETRIES", "GEMINI_RESPONSES", "GEMINI_CLAIMS", "GEMINI_DEADLETTERS", "GEMINI_CANCELS", "OBJ_GEMINI_BODIES", "$O.GEMINI_BODIES.C.>", "$O.GEMINI_BODIES.M.>",
		"gemini.responses.completed." + someID, "gemini.responses.failed." + someID, "gemini.responses.*." + someID,
	}
	if diff := cmp.Diff(want, got); diff != "" {
		t.Errorf("names with the default settings: -want +got\n%s", diff)
	}
}

func TestNamesValidate(t *testing.T) {
	t.Parallel()
	long := strings.Repeat("a", 129)
	tests := map[string]struct {
		change func(*events.Names)
		want   []string
	}{
		"the defaults":                  {func(*events.Names) {}, nil},
		"128 characters":                {func(n *events.Names) { n.RequestQueue = long[1:]; n.StreamPrefix = long[1:] }, nil},
		"every legal character":         {func(n *events.Names) { n.RequestQueue = "Az09_-.x"; n.StreamPrefix = "Az09_-" }, nil},
		"results below the requests":    {func(n *events.Names) { n.ResponseQueue = "gemini.requests.results" }, nil},
		"requests beside the own words": {func(n *events.Names) { n.RequestQueue = "gemini.claimsx" }, nil},
		"all empty": {
			func(n *events.Names) { *n = events.Names{} },
			[]string{`REQUEST_QUEUE: "": is not a subject`, `RESPONSE_QUEUE: "": is not a subject`, `SUBJECT_PREFIX: "": is not a subject`, `STREAM_PREFIX: "": give 1 to 128`},
		},
		"129 characters": {
			func(n *events.Names) {
				*n = events.Names{RequestQueue: long, ResponseQueue: long, SubjectPrefix: long, StreamPrefix: long}
			},
			[]string{"REQUEST_QUEUE: ", "RESPONSE_QUEUE: ", "SUBJECT_PREFIX: ", "STREAM_PREFIX: "},
		},
		"wildcards": {
			func(n *events.Names) { n.RequestQueue, n.ResponseQueue = "gemini.*", "gemini.>" },
			[]string{`REQUEST_QUEUE: "gemini.*": is not`, `RESPONSE_QUEUE: "gemini.>": is not`},
		},
		"dots":                       {func(n *events.Names) { n.RequestQueue, n.SubjectPrefix = "a..b", "a." }, []string{"REQUEST_QUEUE: ", "SUBJECT_PREFIX: "}},
		"a space":                    {func(n *events.Names) { n.RequestQueue = "a b" }, []string{"REQUEST_QUEUE: "}},
		"a letter beyond ASCII":      {func(n *events.Names) { n.RequestQueue = "ü" }, []string{"REQUEST_QUEUE: "}},
		"a dollar":                   {func(n *events.Names) { n.SubjectPrefix = "$JS" }, []string{"SUBJECT_PREFIX: "}},
		"a stream of two words":      {func(n *events.Names) { n.StreamPrefix = "A.B" }, []string{"STREAM_PREFIX: "}},
		"one queue for both":         {func(n *events.Names) { n.RequestQueue = n.ResponseQueue }, []string{`REQUEST_QUEUE: "gemini.responses" is RESPONSE_QUEUE`}},
		"requests below the results": {func(n *events.Names) { n.RequestQueue = "gemini.responses.in" }, []string{`REQUEST_QUEUE: "gemini.responses.in" is RESPONSE_QUEUE ("gemini.responses") or lies below`}},
		"requests on retries":        {func(n *events.Names) { n.RequestQueue = "gemini.retries" }, []string{"REQUEST_QUEUE: "}},
		"requests on later":          {func(n *events.Names) { n.RequestQueue = "gemini.later.x" }, []string{"REQUEST_QUEUE: "}},
		"requests on claims":         {func(n *events.Names) { n.RequestQueue = "gemini.claims.x" }, []string{"REQUEST_QUEUE: "}},
		"requests on dead letters":   {func(n *events.Names) { n.RequestQueue = "gemini.deadletters.x" }, []string{"REQUEST_QUEUE: "}},
		"requests on cancels":        {func(n *events.Names) { n.RequestQueue = "gemini.cancels.x" }, []string{"REQUEST_QUEUE: "}},
		"requests on status":         {func(n *events.Names) { n.RequestQueue = "gemini.status" }, []string{"REQUEST_QUEUE: "}},
		"requests on deltas":         {func(n *events.Names) { n.RequestQueue = "gemini.deltas.x" }, []string{"REQUEST_QUEUE: "}},
		"requests on batches":        {func(n *events.Names) { n.RequestQueue = "gemini.batch.x" }, []string{"REQUEST_QUEUE: "}},
		"results on claims":          {func(n *events.Names) { n.ResponseQueue = "gemini.claims" }, []string{"RESPONSE_QUEUE: "}},
		"results on all":             {func(n *events.Names) { n.RequestQueue, n.ResponseQueue = "r", "gemini" }, eachWord("RESPONSE_QUEUE: ")},
		"results above the prefix":   {func(n *events.Names) { n.RequestQueue, n.ResponseQueue, n.SubjectPrefix = "r", "a", "a.b" }, eachWord("RESPONSE_QUEUE: ")},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			n := names()
			tt.change(&n)
			checkJoined(t, "Validate of "+cut(strings.Join([]string{n.RequestQueue, n.ResponseQueue, n.SubjectPrefix, n.StreamPrefix}, ", ")), n.Validate(), tt.want)
		})
	}
}

// eachWord is one problem for each of the service's own words.
func eachWord(s string) []string { return slices.Repeat([]string{s}, 10) }

func TestCheckCallbacks(t *testing.T) {
	t.Parallel()
	const queue = "gemini.responses"
	tests := map[string]struct {
		allow []string
		want  []string
	}{
		"the queue itself":    {[]string{queue}, nil},
		"one below":           {[]string{queue + ".a"}, nil},
		"siblings":            {[]string{queue + ".a", queue + ".ab", queue + ".b.c"}, nil},
		"none":                {nil, []string{"CALLBACK_ALLOW: has no entry"}},
		"empty":               {[]string{""}, []string{`CALLBACK_ALLOW: entry "": is not a subject`}},
		"wildcard":            {[]string{queue + ".*"}, []string{`CALLBACK_ALLOW: entry "gemini.responses.*": is not a subject`}},
		"outside":             {[]string{"other", "gemini", "gemini.responsesx"}, []string{`CALLBACK_ALLOW: entry "other" lies outside`, `CALLBACK_ALLOW: entry "gemini" lies outside`, `CALLBACK_ALLOW: entry "gemini.responsesx" lies outside`}},
		"129 characters":      {[]string{queue + strings.Repeat("a", 129-len(queue))}, []string{`CALLBACK_ALLOW: entry "gemini.responses`}},
		"the queue and more":  {[]string{queue + ".a", queue}, []string{`CALLBACK_ALLOW: entry "gemini.responses.a" lies below entry "gemini.responses", which is RESPONSE_QUEUE itself: with it in the list no other entry is possible`}},
		"one below another":   {[]string{queue + ".a", queue + ".a.b"}, []string{`CALLBACK_ALLOW: entry "gemini.responses.a.b" lies below entry "gemini.responses.a", whose`}},
		"outside, twice":      {[]string{"x", "x"}, []string{`CALLBACK_ALLOW: entry "x" lies outside`, `CALLBACK_ALLOW: entry "x" lies outside`, `CALLBACK_ALLOW: entry "x" is there twice`}},
		"twice":               {[]string{queue, queue}, []string{`CALLBACK_ALLOW: entry "gemini.responses" is there twice`}},
		"all problems at one": {[]string{"a b", "x", queue, queue + ".a"}, []string{`CALLBACK_ALLOW: entry "a b"`, `CALLBACK_ALLOW: entry "x"`, `CALLBACK_ALLOW: entry "gemini.responses.a"`}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			checkJoined(t, "CheckCallbacks("+cut(strings.Join(tt.allow, ","))+")", events.CheckCallbacks(queue, tt.allow), tt.want)
		})
	}
}

func TestParseResult(t *testing.T) {
	t.Parallel()
	upper := strings.ToUpper(someID)
	tests := map[string]struct {
		subject string
		want    []any
	}{
		"completed":     {events.Completed("gemini.responses", upper), []any{"gemini.responses", events.VerdictCompleted, someID, true}},
		"failed":        {events.Failed("a", someID), []any{"a", events.VerdictFailed, someID, true}},
		"upper case":    {"a.failed." + upper, []any{"a", "failed", someID, true}},
		"a filter":      {events.AnyResult("a", someID), []any{"", "", "", false}},
		"no callback":   {"failed." + someID, []any{"", "", "", false}},
		"empty":         {"", []any{"", "", "", false}},
		"empty tokens":  {".failed." + someID, []any{"", "", "", false}},
		"not an id":     {"a.failed.b", []any{"", "", "", false}},
		"other verdict": {"a.done." + someID, []any{"", "", "", false}},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			callback, verdict, id, ok := events.ParseResult(tt.subject)
			if diff := cmp.Diff(tt.want, []any{callback, verdict, id, ok}); diff != "" {
				t.Errorf("ParseResult(%q): -want +got\n%s", tt.subject, diff)
			}
		})
	}
}

// TestParseCancel: a cancellation is read back as Cancel made it, and names a tenant only
// where an isolated one's subject does.
func TestParseCancel(t *testing.T) {
	t.Parallel()
	for subject, want := range map[string][2]string{
		names().Cancel(someID):                           {"", someID},
		names().Of("acme").Cancel(someID):                {"acme", someID},
		"gemini.cancels." + strings.ToUpper(someID):      {"", someID},
		"gemini.cancels.acme." + strings.ToUpper(someID): {"acme", someID},
		"gemini.cancels.x":                               {},
		"gemini.cancels." + someID + ".x":                {},
		"gemini.cancels.a.b." + someID:                   {},
		"gemini.cancels.." + someID:                      {},
		"gemini.cancels.>." + someID:                     {},
		"gemini.cancels":                                 {},
		"other.cancels." + someID:                        {},
	} {
		if tenant, id, ok := names().ParseCancel(subject); tenant != want[0] || id != want[1] || ok != (id != "") {
			t.Errorf("ParseCancel(%q)\n got %q, %q, %v\nwant %q", subject, tenant, id, ok, want)
		}
	}
}

func TestValidID(t *testing.T) {
	t.Parallel()
	for id, want := range map[string]bool{
		someID:                                       true,
		strings.ToUpper(someID):                      true,
		"00000000-0000-0000-0000-000000000000":       true,
		"ffffffff-ffff-ffff-ffff-ffffffffffff":       true,
		"":                                           false,
		someID + "\n":                                false,
		someID[1:]:                                   false,
		"g" + someID[1:]:                             false,
		"0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3":        false,
		"0190f5a1_7c3e_7b1a_9a55_2f6e1c0d4b3a":       false,
		"０190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b":         false,
		"------------------------------------":       false,
		"{0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a}":     false,
		"0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3a-extra": false,
	} {
		if got := events.ValidID(id); got != want {
			t.Errorf("ValidID(%q)\n got %v\nwant %v", id, got, want)
		}
	}
}
