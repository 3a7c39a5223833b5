package simulator

import (
	"bytes"
	"cmp"
	"crypto/rand"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"slices"
	"strings"
	"time"
)

// batchItem is one request of a batch as it came.
type batchItem struct {
	CustomID string          `json:"custom_id"`
	Body     json.RawMessage `json:"body"`
}

// batchRequest is the body of a POST to /batches.
type batchRequest struct {
	Endpoint string `json:"endpoint"`
	Model    string `json:"model"`
	Provider struct {
		Only []string `json:"only"`
		ZDR  bool     `json:"zdr"`
	} `json:"provider"`
	Window   string `json:"completion_window"`
	Callback string `json:"callback_url"`

	items []batchItem
}

// submitBatch serves POST /batches: it stores a batch, whose items are not looked at yet.
func (s *Simulator) submitBatch(w http.ResponseWriter, r *http.Request) {
	key := bearer(r)
	limited := http.MaxBytesReader(nil, r.Body, cmp.Or(s.config.Batch.MaxBytes, batchBytes))
	asked, refusal := s.readBatch(limited)
	if _, err := io.Copy(io.Discard, limited); err != nil { // an answer is not sent while the client still sends
		refusal = invalid("Invalid JSON in request body")
		if tooLarge := new(http.MaxBytesError); errors.As(err, &tooLarge) {
			refusal = &refused{http.StatusRequestEntityTooLarge, "payload_too_large", "The batch exceeds 200 MB"}
		}
	}
	b := &batch{key: key, model: strings.TrimSuffix(asked.Model, ":batch"), window: asked.window(), items: asked.items, status: validating}
	b.mark(s)
	if s.trouble(w, r, b, "submit") {
		return
	}
	if why := s.authenticate(key); why != nil {
		refusal = why
	} else if over, limit := s.limiter.check(key, time.Now()); over {
		sendReply(w, limit)
		return
	}
	if refusal == nil {
		refusal = s.refuseBatch(asked)
	}
	if refusal != nil {
		sendReply(w, refusal.reply(nil))
		return
	}
	b.fate, _ = s.batchFault(key, b.model, "submit", b.marked, "batch_failed", "batch_expired", "batch_cancelled", "batch_stuck")
	view := s.store(b)
	if f, lost := s.batchFault(key, b.model, "submit", b.marked, "batch_lost"); lost {
		s.playBatch(w, r, f)
		return
	}
	send(w, http.StatusAccepted, view)
}

// store gives a batch its id, and returns it as it is then.
func (s *Simulator) store(b *batch) batchView {
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()
	b.id, b.created = "batch_"+strings.ToLower(rand.Text()), s.batchNow()
	for _, item := range b.items {
		b.ids = append(b.ids, item.CustomID)
	}
	s.batches.byID[b.id] = b
	s.batches.order = append(s.batches.order, b)
	if keep := s.config.History; keep > 0 && len(s.batches.order) > keep {
		delete(s.batches.byID, s.batches.order[0].id)
		s.batches.order = s.batches.order[1:]
	}
	s.ledger.update(func(stats *Stats) { stats.Batches++ })
	return b.view()
}

// mark finds the items with markers.
func (b *batch) mark(s *Simulator) {
	for i, item := range b.items {
		if bytes.Contains(item.Body, []byte(markerStart)) {
			b.marked = append(b.marked, s.open(b, i))
		}
	}
}

// readBatch reads a body, and says what keeps it from being one.
func (s *Simulator) readBatch(body io.Reader) (asked batchRequest, refusal *refused) {
	decoder := json.NewDecoder(body)
	fields := make(map[string]json.RawMessage)
	token, err := decoder.Token()
	if err != nil || token != json.Delim('{') {
		return asked, invalid("Invalid JSON in request body")
	}
	for decoder.More() && refusal == nil {
		if asked.items != nil {
			return asked, invalid("requests must be the last field of the body")
		}
		refusal = s.readField(decoder, fields, &asked.items)
	}
	if refusal != nil {
		return asked, refusal
	}
	if _, err := decoder.Token(); err != nil {
		return asked, invalid("Invalid JSON in request body")
	}
	if err := json.Unmarshal([]byte(encode(fields)), &asked); err != nil {
		return asked, invalid("Invalid input: a field has the wrong type")
	}
	return asked, nil
}

// readField reads one field: into items, or into fields.
func (s *Simulator) readField(decoder *json.Decoder, fields map[string]json.RawMessage, items *[]batchItem) (refusal *refused) {
	name, err := decoder.Token()
	if err == nil && name == "requests" {
		*items, refusal = s.readItems(decoder)
		return refusal
	}
	var raw json.RawMessage
	if err != nil || decoder.Decode(&raw) != nil {
		return invalid("Invalid JSON in request body")
	}
	fields[fmt.Sprint(name)] = raw
	return nil
}

// readItems reads the list of requests.
func (s *Simulator) readItems(decoder *json.Decoder) ([]batchItem, *refused) {
	if token, err := decoder.Token(); err != nil || token != json.Delim('[') {
		return nil, invalid("requests: Invalid input: expected an array")
	}
	items := []batchItem{}
	known := make(map[string]bool)
	for decoder.More() {
		var item batchItem
		if err := decoder.Decode(&item); err != nil {
			return nil, invalid("requests: Invalid input")
		}
		switch limit := cmp.Or(s.config.Batch.MaxRequests, batchRequests); {
		case item.CustomID == "":
			return nil, invalid(fmt.Sprintf("requests.%d.custom_id: Required", len(items)))
		case known[item.CustomID]:
			return nil, invalid(fmt.Sprintf("requests.%d.custom_id: not unique", len(items)))
		case len(items) == limit:
			return nil, invalid(fmt.Sprintf("requests: Too big: expected array to have <=%d items", limit))
		}
		known[item.CustomID] = true
		items = append(items, item)
	}
	if _, err := decoder.Token(); err != nil {
		return nil, invalid("Invalid JSON in request body")
	}
	return items, nil
}

// refuseBatch says why a well-formed batch is not stored, nil if it is.
func (s *Simulator) refuseBatch(asked batchRequest) *refused {
	_, sold := batchPrice(asked.Model)
	switch {
	case asked.Endpoint != "/v1/chat/completions":
		return invalid("endpoint: Invalid option: the simulator knows /v1/chat/completions")
	case len(asked.items) == 0:
		return invalid("requests: Too small: expected array to have >=1 items")
	case asked.Window != "" && asked.Window != "24h":
		return invalid(`completion_window: Invalid option: expected "24h"`)
	case asked.Callback != "" && !strings.HasPrefix(asked.Callback, "https://"):
		return invalid("callback_url: Invalid input: expected an https URL")
	case strings.Contains(asked.Model, ":online"):
		return &refused{http.StatusUnprocessableEntity, "unprocessable", "Web search (:online) is not supported in batches"}
	case !sold:
		return invalid("Model " + asked.Model + " does not have a :batch endpoint")
	case asked.Provider.ZDR:
		return invalid("provider.zdr: batches are stored, so zero data retention is not possible")
	case asked.Provider.Only != nil && !slices.ContainsFunc(asked.Provider.Only, servesBatches):
		return &refused{http.StatusNotFound, "not_found", "No batch endpoints found that match provider.only"}
	}
	return nil
}

// servesBatches reports whether a provider, with or without its region, has batches.
func servesBatches(tag string) bool {
	base, _, _ := strings.Cut(tag, "/")
	return base == "google-ai-studio" || base == "google-vertex"
}

// window returns how long a batch may take: Vertex alone has more than a day.
func (r batchRequest) window() time.Duration {
	if len(r.Provider.Only) > 0 && !slices.ContainsFunc(r.Provider.Only, func(tag string) bool {
		return !strings.HasPrefix(tag, "google-vertex")
	}) {
		return vertexWindow
	}
	return batchWindow
}

// batchPrice returns what a model costs in batches, if it has them: half, but for what is read from a cache.
func batchPrice(asked string) (price, bool) {
	id := strings.TrimSuffix(asked, ":batch")
	sold := []string{
		"google/gemini-2.5-flash", "google/gemini-3.5-flash-lite", "google/gemini-3.1-flash-lite", "google/gemini-2.5-flash-lite",
	}
	if !slices.Contains(sold, id) {
		return price{}, false
	}
	p := lookUp(id).price
	return price{prompt: p.prompt / 2, cached: min(p.cached, p.prompt/2), completion: p.completion / 2}, true
}
