package simulator_test

import (
	"fmt"
	"net/http"
	"strings"
	"testing"

	"gemini-client/service/openrouter/simulator"
)

func TestBatchesThatAreNotStored(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{Batch: simulator.BatchConfig{MaxRequests: 3, MaxBytes: 1000}})
	const flash = "google/gemini-2.5-flash"
	with := func(field string) string {
		return strings.Replace(batchBody(flash, "why?"), `"requests"`, field+`,"requests"`, 1)
	}
	for name, test := range map[string]struct {
		body   string
		status int
		text   string
	}{
		"not JSON":               {`{"endpoint"`, 400, "Invalid JSON"},
		"a list":                 {`[]`, 400, "Invalid JSON"},
		"cut":                    {strings.TrimSuffix(batchBody(flash, "why?"), "}"), 400, "Invalid JSON"},
		"requests not last":      {`{"requests":[{"custom_id":"a","body":{}}],"model":"google/gemini-2.5-flash","endpoint":"/v1/chat/completions"}`, 400, "requests must be the last"},
		"no requests":            {batchBody(flash), 400, "Too small"},
		"requests are an object": {`{"requests":{}}`, 400, "expected an array"},
		"too many":               {batchBody(flash, "1", "2", "3", "4"), 400, "<=3 items"},
		"too large":              {batchBody(flash, strings.Repeat("x", 1000)), 413, "exceeds"},
		"no custom id":           {strings.Replace(batchBody(flash, "why?"), `"a"`, `""`, 1), 400, "requests.0.custom_id: Required"},
		"an id twice":            {strings.Replace(batchBody(flash, "1", "2"), `"b"`, `"a"`, 1), 400, "requests.1.custom_id: not unique"},
		"a field of wrong type":  {with(`"callback_url":7`), 400, "wrong type"},
		"callback in clear":      {with(`"callback_url":"http://example.org"`), 400, "https"},
		"another endpoint":       {strings.Replace(batchBody(flash, "why?"), "chat/completions", "embeddings", 1), 400, "endpoint"},
		"another window":         {strings.Replace(batchBody(flash, "why?"), `"24h"`, `"1h"`, 1), 400, "completion_window"},
		"no batch endpoint":      {batchBody("openai/gpt-4o-mini", "why?"), 400, ":batch endpoint"},
		"no model":               {batchBody("", "why?"), 400, ":batch endpoint"},
		"online":                 {batchBody(flash+":online", "why?"), 422, ":online"},
		"another provider":       {with(`"provider":{"only":["openai"]}`), 404, "provider.only"},
		"nothing retained":       {with(`"provider":{"zdr":true}`), 400, "zdr"},
	} {
		if got := b.submit(t, test.body); got.status != test.status || !strings.Contains(got.body, test.text) || !strings.Contains(got.body, `"error_type":`) {
			t.Errorf("%s: got %d %s, want %d with %s", name, got.status, got.body, test.status, test.text)
		}
	}
	for name, body := range map[string]string{
		"callback": with(`"callback_url":"https://example.org"`), "provider": with(`"provider":{"only":["openai","google-ai-studio"]}`),
		"no window": strings.Replace(batchBody(flash, "why?"), `"completion_window":"24h",`, "", 1), "three": batchBody(flash, "1", "2", "3"),
	} {
		if got := b.submit(t, body); got.status != http.StatusAccepted {
			t.Errorf("%s: got %d %s", name, got.status, got.body)
		}
	}
	for _, key := range []string{"", "bad"} {
		for _, call := range []answer{
			b.do(t.Context(), http.MethodPost, batchesPath, key, batchBody(flash, "why?")), b.get(t, batchesPath, key),
			b.get(t, batchesPath+"/x", key), b.do(t.Context(), http.MethodDelete, batchesPath+"/x", key, ""),
		} {
			if call.status != http.StatusUnauthorized {
				t.Errorf("key %q: got %d %s", key, call.status, call.body)
			}
		}
	}
	if got := b.Stats().Batches; got != 4 {
		t.Errorf("stored %d", got)
	}
}

func TestOneInvalidItemFailsTheBatch(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	part := func(part string) string { return `"messages":[{"role":"user","content":[` + part + `]}]` }
	const ask = `"messages":[{"role":"user","content":"why?"}]`
	for field, want := range map[string]string{
		`"messages":[]`:                                                                    "Input required",
		ask + `,"temperature":3`:                                                           "temperature",
		ask + `,"model":"google/gemini-3.5-flash-lite"`:                                    "model",
		ask + `,"models":["google/gemini-2.5-flash"]`:                                      "models",
		ask + `,"stream":true`:                                                             "stream",
		ask + `,"plugins":[{"id":"web"}]`:                                                  "web search",
		ask + `,"web_search_options":{}`:                                                   "web search",
		ask + `,"tools":[{"type":"openrouter:web_search"}]`:                                "web search",
		ask + `,"modalities":["text","audio"]`:                                             "audio",
		ask + `,"audio":{"voice":"x"}`:                                                     "audio",
		ask + `,"provider":{"zdr":true}`:                                                   "zdr",
		ask + `,"response_format":{"type":"json_object"}`:                                  "response_format",
		part(`{"type":"input_audio","input_audio":{"data":""}}`):                           "input_audio",
		part(`{"type":"video_url","video_url":{"url":"https://example.org/v"}}`):           "video_url",
		part(`{"type":"image_url","image_url":{"url":"data:image/png;base64,AAAA"}}`):      "public URL",
		`"messages":[{"role":"user","content":"why? [sim:batch_invalid]"}]`:                "batch_invalid",
		`"messages":[{"role":"user","content":"why? [sim:nonsense]"}]`:                     "nonsense",
		part(`{"type":"image_url","image_url":{"url":"https://example.org/a.png"}}`):       "",
		ask + `,"model":"google/gemini-2.5-flash:batch","stream":false`:                    "",
		ask + `,"plugins":[{"id":"response-healing"}],"response_format":null,"audio":null`: "",
	} {
		body := fmt.Sprintf(`{"endpoint":"/v1/chat/completions","model":"google/gemini-2.5-flash","requests":[{"custom_id":"a","body":{%s}},{"custom_id":"b","body":{%s}}]}`, ask, field)
		got := b.submit(t, body)
		if got.status != http.StatusAccepted {
			t.Errorf("%s: got %d %s", field, got.status, got.body)
			continue
		}
		batch := b.look(t, parse[shown](t, got.body).ID)
		switch {
		case want == "" && batch.Status != "in_progress":
			t.Errorf("%s: got %+v, %+v", field, batch, batch.Error)
		case want != "" && (batch.Status != "failed" || batch.Error == nil || !strings.Contains(batch.Error.Message, want) || !strings.Contains(batch.Error.Message, `custom_id "b"`)):
			t.Errorf("%s: got %+v, %+v, want %s", field, batch, batch.Error, want)
		}
	}
	if len(b.BatchRuns()) != 0 || b.Cost() != 0 {
		t.Errorf("run: %+v", b.BatchRuns())
	}
	if got := b.chat(t, "why? [sim:batch_invalid]", nil); got.status != http.StatusBadRequest {
		t.Errorf("a chat call: got %d %s", got.status, got.body)
	}
	if got := b.chat(t, "why?", fields{"model": "google/gemini-2.5-flash:batch"}); got.status != http.StatusNotFound || !strings.Contains(got.body, "Batch API") {
		t.Errorf("a chat call: got %d %s", got.status, got.body)
	}
	if got := b.chat(t, "why? [sim:batch_error] [sim:batch_lost]", nil); got.status != http.StatusOK {
		t.Errorf("a chat call: got %d %s", got.status, got.body)
	}
}

func TestAnItemThatItsModelRefuses(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	got := b.submit(t, strings.Replace(batchBody("google/gemini-3.5-flash-lite", "why?", "how?"), `{"messages"`, `{"presence_penalty":1,"messages"`, 1))
	batch := parse[shown](t, got.body)
	for range 3 {
		batch = b.look(t, batch.ID)
	}
	if batch.Status != "completed" || batch.Counts.Completed != 1 || batch.Counts.Failed != 1 || len(b.BatchRuns()) != 2 {
		t.Errorf("got %+v", batch)
	}
}

func TestLists(t *testing.T) {
	t.Parallel()
	type list struct {
		Data    []shown
		FirstID *string `json:"first_id"`
		LastID  *string `json:"last_id"`
		HasMore bool    `json:"has_more"`
	}
	b := start(t, simulator.Config{})
	var ids []string
	for range 3 {
		ids = append(ids, b.stored(t, "why?"))
	}
	for range 3 {
		b.look(t, ids[1])
	}
	created := b.look(t, ids[0]).CreatedAt
	for query, want := range map[string][]string{
		"":                         {ids[2], ids[1], ids[0]},
		"?limit=2":                 {ids[2], ids[1]},
		"?limit=2&after=" + ids[1]: {ids[0]},
		"?after=" + ids[0]:         nil,
		"?status=completed":        {ids[1]},
		fmt.Sprintf("?created_after=%d", created-60):  {ids[2], ids[1], ids[0]},
		fmt.Sprintf("?created_after=%d", created+60):  nil,
		fmt.Sprintf("?created_before=%d", created-60): nil,
	} {
		got := parse[list](t, b.get(t, batchesPath+query, testKey).body)
		var found []string
		for _, batch := range got.Data {
			found = append(found, batch.ID)
			if batch.Results != nil {
				t.Errorf("%s: results in a list", query)
			}
		}
		if fmt.Sprint(found) != fmt.Sprint(want) || got.HasMore != (query == "?limit=2") {
			t.Errorf("%s: got %v, more %v, want %v", query, found, got.HasMore, want)
		}
		if len(want) > 0 && (*got.FirstID != want[0] || *got.LastID != want[len(want)-1]) || len(want) == 0 && (got.FirstID != nil || got.Data == nil) {
			t.Errorf("%s: got %+v", query, got)
		}
	}
	for _, limit := range []string{"0", "101", "many"} {
		if got := b.get(t, batchesPath+"?limit="+limit, testKey); got.status != http.StatusBadRequest {
			t.Errorf("limit %s: got %d", limit, got.status)
		}
	}
}

func TestWhoSeesABatch(t *testing.T) {
	t.Parallel()
	for _, all := range []bool{false, true} {
		b := start(t, simulator.Config{Batch: simulator.BatchConfig{AllKeys: all}})
		id := b.stored(t, "why?")
		got, listed := b.get(t, batchesPath+"/"+id, "sk-or-v1-other"), b.get(t, batchesPath, "sk-or-v1-other")
		if (got.status == http.StatusOK) != all || strings.Contains(listed.body, id) != all {
			t.Errorf("all keys %v: got %d, %s", all, got.status, listed.body)
		}
	}
}

func TestDeletion(t *testing.T) {
	t.Parallel()
	b := start(t, simulator.Config{})
	id := b.stored(t, "why?")
	remove := func() answer { return b.do(t.Context(), http.MethodDelete, batchesPath+"/"+id, testKey, "") }
	if got := remove(); got.status != http.StatusConflict {
		t.Errorf("got %d %s", got.status, got.body)
	}
	for range 3 {
		b.look(t, id)
	}
	if got := remove(); got.status != http.StatusOK || !strings.Contains(got.body, id) {
		t.Errorf("got %d %s", got.status, got.body)
	}
	if got := remove(); got.status != http.StatusNotFound {
		t.Errorf("a second time: got %d %s", got.status, got.body)
	}
	if got := b.get(t, batchesPath+"/"+id, testKey); got.status != http.StatusNotFound || !b.Batches()[0].Deleted {
		t.Errorf("got %d, %+v", got.status, b.Batches())
	}
}
