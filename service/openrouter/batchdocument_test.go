package openrouter_test

import (
	"errors"
	"fmt"
	"os"
	"strings"
	"testing"

	"gemini-client/service/openrouter"
)

// read reads one document as a batch.
func read(t *testing.T, r reply, config openrouter.Config) (openrouter.Batch, []openrouter.BatchResult, error) {
	t.Helper()
	var got []openrouter.BatchResult
	config.Transport = r.transport(t)
	batch, err := newClient(t, config).Batch(t.Context(), testKey, "batch_1", func(r openrouter.BatchResult) error {
		if (r.Completion == nil) == (r.Err == nil) {
			t.Errorf("neither or both: %+v", r)
		}
		got = append(got, r)
		return nil
	})
	return batch, got, err
}

// said is a result in a few words.
func said(results []openrouter.BatchResult) string {
	var words []string
	for _, r := range results {
		if r.Err != nil {
			words = append(words, fmt.Sprintf("%s:%s/%d", r.CustomID, r.Err.Kind, r.Err.Status))
			continue
		}
		words = append(words, r.CustomID+"="+r.Completion.Content)
	}
	return strings.Join(words, "|")
}

func TestBatchDocuments(t *testing.T) {
	t.Parallel()
	const (
		x    = `{"id":"r","custom_id":"x","response":{"status_code":200,"request_id":"q","body":{"id":"gen-batch-1","choices":[{"message":{"content":"X"},"finish_reason":"stop"}]}},"error":null}`
		tail = `"id":"b","status":"completed"`
	)
	tests := map[string]struct{ body, want string }{
		"results last":             {`{` + tail + `,"results":[` + x + `]}`, "x=X"},
		"results first":            {`{"results":[` + x + `],` + tail + `}`, "x=X"},
		"results twice":            {`{"results":[` + x + `],` + tail + `,"results":[` + x + `]}`, "x=X|x=X"},
		"white space":              {"\ufeff \n{ \"results\" : [ " + x + " , " + x + " ] , " + tail + " } ", "x=X|x=X"},
		"no results":               {`{` + tail + `,"results":null}`, ""},
		"an object of results":     {`{` + tail + `,"results":{"a":[1,"]}"]}}`, ""},
		"a word for results":       {`{"results":nothing,` + tail + `}`, ""},
		"unknown and odd fields":   {`{"":0,"a":{"results":[1]},"b":"\"}]","status":7,"model":{},"usage":"x","request_counts":[],"error":[],"created_at":"soon",` + tail + `,"results":[` + x + `]}`, "x=X"},
		"escaped names":            {`{"\u0072esults":[` + x + `],` + tail + `}`, "x=X"},
		"a name without an end":    {`{"` + strings.Repeat("n", 5000) + `":1,` + tail + `,"results":[` + x + `]}`, "x=X"},
		"a number as id":           {`{` + tail + `,"results":[{"custom_id":7,"response":null,"error":null}]}`, "7:empty/0"},
		"an item that is a number": {`{` + tail + `,"results":[1,` + x + `]}`, ":malformed/0|x=X"},
		"a broken item":            {`{` + tail + `,"results":[{"custom_id":"y" "b":1},` + x + `]}`, "y:malformed/0|x=X"},
		"an item that is too long": {`{` + tail + `,"results":[{"custom_id":"y","response":"` + strings.Repeat("z", 2000) + `"},` + x + `]}`, "y:too_large/0|x=X"},
		"a long item, id last":     {`{` + tail + `,"results":[{"response":"` + strings.Repeat("z", 2000) + `","custom_id":"y"},` + x + `]}`, ":too_large/0|x=X"},
		"no status":                {`{` + tail + `,"results":[{"custom_id":"y","response":{"body":{"choices":[{"message":{"content":"Y"}}]}}}]}`, "y=Y"},
		"no body":                  {`{` + tail + `,"results":[{"custom_id":"y","response":{"status_code":200}}]}`, "y:malformed/200"},
		"an empty answer":          {`{` + tail + `,"results":[{"custom_id":"y","response":{"status_code":200,"body":{"choices":[]}}}]}`, "y:empty/200"},
		"an error status":          {`{` + tail + `,"results":[{"custom_id":"y","response":{"status_code":400,"body":{"error":{"code":400,"message":"no"}}}}]}`, "y:status/400"},
		"an error without an object": {
			`{` + tail + `,"results":[{"custom_id":"y","response":{"status_code":404,"body":"gone"}}]}`, "y:status/404",
		},
		"an error in a 200":          {`{` + tail + `,"results":[{"custom_id":"y","response":{"status_code":200,"body":{"error":{"code":502,"message":"no"}}}}]}`, "y:status/502"},
		"an error in a choice":       {`{` + tail + `,"results":[{"custom_id":"y","response":{"status_code":200,"body":{"choices":[{"error":{"code":503}}]}}}]}`, "y:status/503"},
		"an error beside a response": {`{` + tail + `,"results":[{"custom_id":"y","error":{"code":"timeout"},"response":{"status_code":200,"body":{"choices":[{"message":{"content":"Y"}}]}}}]}`, "y:status/504"},
		"an error alone":             {`{` + tail + `,"results":[{"custom_id":"y","response":null,"error":{"code":"rate_limit_exceeded","message":"later"}}]}`, "y:status/429"},
		"a text for an error":        {`{` + tail + `,"results":[{"custom_id":"y","response":null,"error":"it failed"}]}`, "y:status/0"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			batch, got, err := read(t, text(tt.body), openrouter.Config{MaxAnswerBytes: 1000})
			if err != nil || batch.ID != "b" || batch.Status != openrouter.BatchCompleted || said(got) != tt.want {
				t.Errorf("got %+v, %q, %v, want %q", batch, said(got), err, tt.want)
			}
			for _, r := range got {
				if r.Err != nil && r.Err.Edge {
					t.Errorf("an edge inside of a batch: %+v", r.Err)
				}
			}
		})
	}
}

func TestDocumentsThatAreNoBatch(t *testing.T) {
	t.Parallel()
	const x = `{"custom_id":"x","response":{"status_code":200,"body":{"choices":[{"message":{"content":"X"}}]}}}`
	tests := map[string]struct {
		reply
		kind   openrouter.Kind
		code   int
		before string // the results that are given before
	}{
		"nothing":                  {text(""), openrouter.KindCut, 0, ""},
		"an empty object":          {text("{}"), openrouter.KindMalformed, 200, ""},
		"a list":                   {text("[]"), openrouter.KindMalformed, 200, ""},
		"a page":                   {text("<html>"), openrouter.KindMalformed, 200, ""},
		"a number for a name":      {text(`{1:"b"}`), openrouter.KindMalformed, 200, ""},
		"no colon":                 {text(`{"id" "b"}`), openrouter.KindMalformed, 200, ""},
		"a comma too many":         {text(`{"id":"b",}`), openrouter.KindMalformed, 200, ""},
		"no value":                 {text(`{"id":,"status":1}`), openrouter.KindMalformed, 200, ""},
		"an error in a 200":        {text(`{"error":{"code":503,"message":"no"}}`), openrouter.KindStatus, 503, ""},
		"a 404":                    {reply{status: 404, steps: text(`{"error":{"code":404,"message":"no"}}`).steps}, openrouter.KindStatus, 404, ""},
		"a 502 of the edge":        {reply{status: 502, steps: text(`<html>`).steps}, openrouter.KindStatus, 502, ""},
		"a cut between results":    {text(`{"id":"b","results":[` + x + `,`), openrouter.KindCut, 0, "x=X"},
		"a cut in a result":        {text(`{"id":"b","results":[` + x + `,{"custom_id":"y","response":{"`), openrouter.KindCut, 0, "x=X"},
		"a cut in an escape":       {text(`{"id":"b\`), openrouter.KindCut, 0, ""},
		"a cut after results":      {text(`{"id":"b","results":[` + x + `]`), openrouter.KindCut, 0, "x=X"},
		"a reset in results":       {reply{steps: []step{{data: `{"results":[` + x}, {err: errors.New("reset")}}}, openrouter.KindCut, 0, "x=X"},
		"items without separators": {text(`{"id":"b","results":[` + x + x + `]}`), openrouter.KindMalformed, 200, "x=X"},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			batch, got, err := read(t, tt.reply, openrouter.Config{})
			e := asError(t, err)
			if e.Kind != tt.kind || e.Status != tt.code || batch.ID != "" || said(got) != tt.before {
				t.Errorf("got %+v, %+v, %q", batch, e, said(got))
			}
		})
	}
}

func TestErrorsOfBatches(t *testing.T) {
	t.Parallel()
	for problem, want := range map[string]openrouter.BatchError{
		`null`: {}, `{}`: {},
		`"it failed"`: {Message: "it failed", Index: -1},
		`{"message":"requests[17].body: Invalid input","code":400}`:                               {Message: "requests[17].body: Invalid input", Code: "400", Index: 17},
		`{"message":"bad","index":3,"metadata":{"custom_id":"a","error_type":"invalid_request"}}`: {Message: "bad", Type: "invalid_request", CustomID: "a", Index: 3},
		`{"message":"custom_id 'a-1' is too long"}`:                                               {Message: "custom_id 'a-1' is too long", CustomID: "a-1", Index: -1},
		`{"errors":[{"message":"first"}]}`:                                                        {Message: `{"errors":[{"message":"first"}]}`, Index: -1},
		`[{"message":"listed"}]`:                                                                  {Message: "listed", Index: -1},
		`{"code":"token_limit","metadata":{"index":-5}}`:                                          {Message: `{"code":"token_limit","metadata":{"index":-5}}`, Code: "token_limit", Index: -1},
		`{"message":"key ` + testKey + ` is spent"}`:                                              {Message: "key [key] is spent", Index: -1},
	} {
		batch, _, err := read(t, text(`{"id":"b","status":"failed","error":`+problem+`}`), openrouter.Config{})
		switch {
		case err != nil:
			t.Errorf("%s: %v", problem, err)
		case want.Message == "" && batch.Error == nil:
		case batch.Error == nil || *batch.Error != want:
			t.Errorf("%s: got %+v, want %+v", problem, batch.Error, want)
		}
	}
}

func TestUsageOfBatches(t *testing.T) {
	t.Parallel()
	const body = `{"id":"b","model":"m","created_at":1780000000,"finalized_at":"2026-11-27T13:00:00Z","request_counts":{"total":3,"completed":2,"failed":-1},
		"usage":{"prompt_tokens":10,"completion_tokens":5,"total_tokens":15,"cost":0.5,"is_byok":true},"results":[
		{"custom_id":"a","response":{"status_code":200,"body":{"choices":[{"message":{"content":"A"}}],"usage":{"prompt_tokens":1,"cost":0}}}},
		{"custom_id":"b","response":{"status_code":200,"body":{"choices":[{"message":{"content":"B"}}],"usage":{"prompt_tokens":1,"cost_details":{"upstream_inference_cost":0.25}}}}},
		{"custom_id":"c","response":{"status_code":200,"body":{"choices":[{"message":{"content":"C"}}],"usage":{"prompt_tokens":1,"is_byok":true,"cost_details":{"upstream_inference_cost":0.25}}}}},
		{"custom_id":"d","response":{"status_code":200,"body":{"choices":[{"message":{"content":"D"}}]}}}]}`
	batch, got, err := read(t, text(body), openrouter.Config{})
	if err != nil || len(got) != 4 {
		t.Fatalf("got %v, %v", got, err)
	}
	if batch.CreatedAt.Unix() != 1780000000 || batch.FinalizedAt.UTC().Hour() != 13 || batch.Total != 3 || batch.Completed != 2 || batch.Failed != 0 ||
		!batch.BYOK || *batch.Usage.Cost != 0.5 || batch.Usage.TotalTokens != 15 {
		t.Errorf("got %+v, %+v", batch, batch.Usage)
	}
	zero, quarter := 0.0, 0.25
	for i, want := range []*float64{&zero, &quarter, nil} {
		if cost := got[i].Completion.Usage.Cost; (cost == nil) != (want == nil) || want != nil && *cost != *want {
			t.Errorf("item %s: got %v, want %v", got[i].CustomID, cost, want)
		}
	}
	if got[3].Completion.Usage != nil {
		t.Errorf("got %+v", got[3].Completion.Usage)
	}
}

func TestAnErrorOfTheCallerEndsTheCall(t *testing.T) {
	t.Parallel()
	calls := 0
	client := newClient(t, openrouter.Config{Transport: text(`{"id":"b","results":[{},{}]}`).transport(t)})
	_, err := client.Batch(t.Context(), testKey, "batch_1", func(openrouter.BatchResult) error {
		calls++
		return os.ErrClosed
	})
	if err != os.ErrClosed || calls != 1 { //nolint:errorlint // it is returned as it is
		t.Errorf("got %v after %d calls", err, calls)
	}
	client = newClient(t, openrouter.Config{Transport: text(`{"id":"b","results":[{},{}]}`).transport(t)})
	if batch, err := client.Batch(t.Context(), testKey, "batch_1", nil); err != nil || batch.ID != "b" {
		t.Errorf("without a function: got %+v, %v", batch, err)
	}
}
