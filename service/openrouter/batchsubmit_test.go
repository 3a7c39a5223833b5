package openrouter_test

import (
	"encoding/json"
	"errors"
	"io"
	"iter"
	"net/http"
	"strings"
	"sync/atomic"
	"testing"

	"gemini-client/service/openrouter"
	"gemini-client/service/openrouter/simulator"
)

func TestABatchOnTheWire(t *testing.T) {
	t.Parallel()
	var header http.Header
	var path, body string
	var length int64
	server := newServer(t, func(w http.ResponseWriter, r *http.Request) {
		sent, _ := io.ReadAll(r.Body)
		header, path, body, length = r.Header, r.Method+" "+r.URL.String(), string(sent), r.ContentLength
		w.WriteHeader(http.StatusAccepted)
		_, _ = io.WriteString(w, `{"id":"b","status":"validating"}`)
	})
	client := newClient(t, openrouter.Config{BaseURL: at(server.URL + "/api/v1"), Referer: "https://example.org", Title: "Unit"})
	j := openrouter.BatchJob{Model: "google/gemini-2.5-flash", Provider: json.RawMessage(`{"only":["google-vertex"]}`)}
	second := hello()
	second.Extra = map[string]json.RawMessage{"response_format": json.RawMessage(`{"type":"json_object"}`)}
	list := func(yield func(openrouter.BatchItem, error) bool) {
		_ = yield(openrouter.BatchItem{CustomID: `a"1`, Request: openrouter.Request{System: "Be brief.", Prompt: "Why?"}}, nil) &&
			yield(openrouter.BatchItem{CustomID: "2", Request: second}, nil)
	}
	batch, err := client.SubmitBatch(t.Context(), testKey, j, list)
	if err != nil || batch.ID != "b" || batch.Status != openrouter.BatchValidating {
		t.Fatalf("got %+v, %v", batch, err)
	}
	const want = `{"endpoint":"/v1/chat/completions","model":"google/gemini-2.5-flash","provider":{"only":["google-vertex"]},"completion_window":"24h","requests":[` +
		`{"custom_id":"a\"1","body":{"messages":[{"role":"system","content":"Be brief."},{"role":"user","content":"Why?"}]}},` +
		`{"custom_id":"2","body":{"max_tokens":100,"messages":[{"role":"user","content":"hello"}],"response_format":{"type":"json_object"}}}]}`
	if body != want || path != "POST /api/v1/batches" || length != -1 {
		t.Errorf("got %s of %d bytes\n%s, want\n%s", path, length, body, want)
	}
	for name, value := range map[string]string{
		"Authorization": "Bearer " + testKey, "Accept": "application/json", "Content-Type": "application/json",
		"HTTP-Referer": "https://example.org", "X-OpenRouter-Title": "Unit", "User-Agent": "gemini-client",
	} {
		if got := header.Get(name); got != value {
			t.Errorf("header %s is %q, want %q", name, got, value)
		}
	}
	size, err := openrouter.BatchItem{CustomID: "2", Request: second}.Size()
	if at := strings.Index(want, `{"custom_id":"2"`); err != nil || size != int64(len(want)-at-len("]}"))+1 {
		t.Errorf("got size %d, %v", size, err)
	}
}

// TestAnUploadIsNotHeld counts how far the items are ahead of what the network has taken.
func TestAnUploadIsNotHeld(t *testing.T) {
	t.Parallel()
	const total, size = 2000, 1000
	var asked atomic.Int64
	prompt := strings.Repeat("x", size)
	list := func(yield func(openrouter.BatchItem, error) bool) {
		for range total {
			asked.Add(1)
			if !yield(openrouter.BatchItem{CustomID: "x", Request: openrouter.Request{Prompt: prompt}}, nil) {
				return
			}
		}
	}
	most := int64(0)
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		read, buffer := int64(0), make([]byte, 4096)
		var err error
		for err == nil {
			var n int
			n, err = r.Body.Read(buffer)
			most = max(most, asked.Load()*size-read)
			read += int64(n)
		}
		if err != io.EOF {
			return nil, err
		}
		return &http.Response{StatusCode: http.StatusAccepted, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"id":"b"}`)), Request: r}, nil
	})
	if _, err := newClient(t, openrouter.Config{Transport: transport}).SubmitBatch(t.Context(), testKey, job(), list); err != nil {
		t.Fatal(err)
	}
	if asked.Load() != total || most > 200<<10 {
		t.Errorf("asked for %d items, at most %d bytes ahead", asked.Load(), most)
	}
}

// TestResultsAreNotHeld counts how far reading is ahead of the results that were given.
func TestResultsAreNotHeld(t *testing.T) {
	t.Parallel()
	const total = 2000
	result := `{"custom_id":"x","response":{"status_code":200,"body":{"choices":[{"message":{"content":"` + strings.Repeat("x", 1000) + `"}}]}}},`
	var read int
	body := &counted{from: io.MultiReader(strings.NewReader(`{"results":[`), strings.NewReader(strings.Repeat(result, total)), strings.NewReader(`{}],"id":"b"}`)), read: &read}
	transport := roundTrip(func(r *http.Request) (*http.Response, error) {
		return &http.Response{StatusCode: http.StatusOK, Header: http.Header{}, Body: io.NopCloser(body), Request: r}, nil
	})
	given, most := 0, 0
	_, err := newClient(t, openrouter.Config{Transport: transport}).Batch(t.Context(), testKey, "b", func(openrouter.BatchResult) error {
		given++
		most = max(most, read-given*len(result))
		return nil
	})
	if err != nil || given != total+1 || most > 200<<10 {
		t.Errorf("%d results, at most %d bytes ahead, %v", given, most, err)
	}
}

type counted struct {
	from io.Reader
	read *int
}

func (c *counted) Read(to []byte) (int, error) {
	n, err := c.from.Read(to)
	*c.read += n
	return n, err
}

// failing gives items of a size and then an error.
func failing(count int, err error) iter.Seq2[openrouter.BatchItem, error] {
	return func(yield func(openrouter.BatchItem, error) bool) {
		for range count {
			if !yield(openrouter.BatchItem{CustomID: "x", Request: openrouter.Request{Prompt: strings.Repeat("x", 50<<10)}}, nil) {
				return
			}
		}
		yield(openrouter.BatchItem{}, err)
	}
}

func TestItemsThatFail(t *testing.T) {
	t.Parallel()
	sim, client := withSimulator(t, simulator.Config{})
	own := errors.New("the queue is gone")
	for _, count := range []int{0, 1, 10} {
		if _, err := client.SubmitBatch(t.Context(), testKey, job(), failing(count, own)); err != own { //nolint:errorlint // it is returned as it is
			t.Errorf("after %d items: got %v", count, err)
		}
	}
	func() {
		defer func() {
			if recover() == nil {
				t.Error("the panic of the items is gone")
			}
		}()
		_, _ = client.SubmitBatch(t.Context(), testKey, job(), func(func(openrouter.BatchItem, error) bool) { panic("items") })
	}()
	item := func(id string, r openrouter.Request) openrouter.BatchItem {
		return openrouter.BatchItem{CustomID: id, Request: r}
	}
	raw := json.RawMessage("1")
	for name, bad := range map[string]openrouter.BatchItem{
		"no custom id":     item("", openrouter.Request{Prompt: "Why?"}),
		"another model":    item("a", openrouter.Request{Prompt: "Why?", Model: "google/gemini-2.5-pro"}),
		"several models":   item("a", openrouter.Request{Prompt: "Why?", Models: []string{"google/gemini-2.5-flash"}}),
		"a stream":         item("a", openrouter.Request{Prompt: "Why?", Extra: map[string]json.RawMessage{"stream": raw}}),
		"a model as extra": item("a", openrouter.Request{Prompt: "Why?", Extra: map[string]json.RawMessage{"model": raw}}),
		"no messages":      item("a", openrouter.Request{}),
		"broken messages":  item("a", openrouter.Request{Messages: json.RawMessage("[")}),
	} {
		_, err := client.SubmitBatch(t.Context(), testKey, job(), func(yield func(openrouter.BatchItem, error) bool) { yield(bad, nil) })
		if e := asError(t, err); e.Kind != openrouter.KindRequest || e.MayBeStored {
			t.Errorf("%s: got %+v", name, e)
		}
	}
	if sim.Stats().Batches != 0 {
		t.Errorf("stored %+v", sim.Batches())
	}
}

func TestJobsThatAreNotSent(t *testing.T) {
	t.Parallel()
	client := newClient(t, openrouter.Config{Transport: roundTrip(func(r *http.Request) (*http.Response, error) {
		_, err := io.Copy(io.Discard, r.Body)
		return nil, err
	})})
	for name, j := range map[string]openrouter.BatchJob{
		"no model": {}, "provider is a list": {Model: "m", Provider: json.RawMessage(`[]`)}, "provider is broken": {Model: "m", Provider: json.RawMessage(`{"a"}`)},
	} {
		if _, err := client.SubmitBatch(t.Context(), testKey, j, items("Why?")); asError(t, err).Kind != openrouter.KindRequest {
			t.Errorf("%s: got %v", name, err)
		}
	}
	for name, call := range map[string]func(key string) error{
		"submit": func(key string) error {
			_, err := client.SubmitBatch(t.Context(), key, job(), items("Why?"))
			return err
		},
		"get":    func(key string) error { _, err := client.Batch(t.Context(), key, "b", nil); return err },
		"delete": func(key string) error { return client.DeleteBatch(t.Context(), key, "b") },
	} {
		if e := asError(t, call("")); e.Kind != openrouter.KindRequest {
			t.Errorf("%s without a key: got %v", name, e)
		}
	}
	if _, err := client.SubmitBatch(t.Context(), testKey, job(), items()); asError(t, err).Kind != openrouter.KindRequest {
		t.Errorf("no items: got %v", err)
	}
}

// TestAnEarlyAnswerEndsTheUpload refuses a large batch after its first bytes, as OpenRouter does with a bad key.
func TestAnEarlyAnswerEndsTheUpload(t *testing.T) {
	t.Parallel()
	for name, status := range map[string]int{"refused": 401, "an error": 503} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			transport := roundTrip(func(r *http.Request) (*http.Response, error) {
				_, _ = io.ReadFull(r.Body, make([]byte, 10))
				return &http.Response{StatusCode: status, Header: http.Header{}, Body: io.NopCloser(strings.NewReader(`{"error":{"message":"no"}}`)), Request: r}, nil
			})
			_, err := newClient(t, openrouter.Config{Transport: transport}).SubmitBatch(t.Context(), testKey, job(), failing(1000, errors.New("asked for all")))
			if e := asError(t, err); e.Status != status || e.MayBeStored {
				t.Errorf("got %+v", e)
			}
		})
	}
}
