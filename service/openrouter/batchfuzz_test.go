package openrouter_test

import (
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"gemini-client/service/openrouter"
)

// FuzzBatch gives the client any document of a batch: it must pass on every result that encoding/json finds, and stay within
// its limits.
func FuzzBatch(f *testing.F) {
	const answer = `{"id":"gen-batch-1","choices":[{"message":{"content":"X","tool_calls":[{"id":"1"}]},"finish_reason":"stop"}],"usage":{"cost":1}}`
	for _, seed := range []string{
		`{"id":"b","object":"batch","status":"completed","created_at":1780000000,"request_counts":{"total":1},"usage":{"prompt_tokens":1,"cost":0.1},"results":[{"id":"r","custom_id":"x","response":{"status_code":200,"request_id":"q","body":` + answer + `},"error":null}],"error":null}`,
		`{"results":[{"custom_id":"y","response":{"status_code":429,"body":{"error":{"code":429,"message":"sk-or-v1-x"}}}},{"custom_id":"z","error":{"code":"server_error"}}],"id":"b"}`,
		`{"id":"b","status":"failed","error":{"message":"requests[17]: custom_id \"a\" bad","metadata":{"raw":"[[[1]]]"}}}`,
		`{"error":{"code":503,"message":"no"}}`,
		"\ufeff {\"\\u0072esults\" : [ 1 , \"]\\\"\" , [{}] , null ] , \"id\" : 1e9 } ",
		`{"data":[{"id":"a"},{"id":"b","results":[{}]}],"has_more":true,"last_id":"b"}`,
		`{"id":"b","results":[{"custom_id":"x","response":{"`, `[`, `{"a":}`, `{"":"\`,
	} {
		f.Add([]byte(seed))
	}
	const limit = 4 << 10
	f.Fuzz(func(t *testing.T, body []byte) {
		client := newClient(t, openrouter.Config{Transport: text(string(body)).transport(t), MaxAnswerBytes: limit})
		results := 0
		batch, err := client.Batch(t.Context(), testKey, "b", func(r openrouter.BatchResult) error {
			results++
			fit(t, r, limit)
			return nil
		})
		if err != nil {
			if e, ok := errors.AsType[*openrouter.Error](err); !ok || e.Kind == "" || e.Message == "" || strings.Contains(strings.ToLower(err.Error()), "sk-or-") {
				t.Errorf("unfit error %#v", err)
			}
		} else if batch.ID == "" || batch.Error != nil && batch.Error.Message == "" {
			t.Errorf("unfit batch %+v", batch)
		}
		var doc map[string]json.RawMessage
		var list []json.RawMessage
		if json.Unmarshal(body, &doc) == nil && json.Unmarshal(doc["results"], &list) == nil && strings.Count(string(body), "esults") == 1 {
			if results != len(list) {
				t.Errorf("%d results of %d, error %v", results, len(list), err)
			}
		}
		client = newClient(t, openrouter.Config{Transport: text(string(body)).transport(t)})
		page, next, err := client.Batches(t.Context(), testKey, batch.CreatedAt, "")
		if err != nil && (page != nil || next != "") {
			t.Errorf("a page %v beside an error", page)
		}
	})
}

func fit(t *testing.T, r openrouter.BatchResult, limit int) {
	t.Helper()
	switch {
	case (r.Completion == nil) == (r.Err == nil):
		t.Errorf("neither or both: %+v", r)
	case r.Err != nil && (r.Err.Kind == "" || r.Err.Message == "" || r.Err.Edge || strings.Contains(strings.ToLower(r.Err.Error()), "sk-or-")):
		t.Errorf("unfit error %+v", r.Err)
	case r.Completion != nil && len(r.Completion.Content)+len(r.Completion.Reasoning) > 3*limit:
		t.Errorf("limits do not hold: %d bytes", len(r.Completion.Content))
	}
}
