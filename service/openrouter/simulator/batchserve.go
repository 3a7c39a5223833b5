package simulator

import (
	"cmp"
	"encoding/json"
	"io"
	"net/http"
	"slices"
	"strconv"
	"strings"
	"time"
)

// batchView is a batch as it is shown.
type batchView struct {
	ID       string          `json:"id"`
	Object   string          `json:"object"`
	Endpoint string          `json:"endpoint"`
	Model    string          `json:"model"`
	Window   string          `json:"completion_window"`
	Status   string          `json:"status"`
	Created  int64           `json:"created_at"`
	Final    *int64          `json:"finalized_at"`
	Counts   batchCounts     `json:"request_counts"`
	Usage    *batchUsage     `json:"usage"`
	Results  json.RawMessage `json:"results"`
	Error    *apiError       `json:"error"`
}

type batchCounts struct {
	Total     int `json:"total"`
	Completed int `json:"completed"`
	Failed    int `json:"failed"`
}

func (b *batch) view() batchView {
	v := batchView{
		ID: b.id, Object: "batch", Endpoint: "/v1/chat/completions", Model: b.model, Window: "24h", Status: b.status,
		Created: b.created.Unix(), Counts: batchCounts{len(b.ids), b.done, b.lost},
		Results: json.RawMessage("null"), Error: b.problem,
	}
	if b.ended() {
		at := b.finalized.Unix()
		v.Final, v.Usage = &at, b.usage
	}
	return v
}

// knock finds out who asks about batches, or answers that nobody may.
func (s *Simulator) knock(w http.ResponseWriter, r *http.Request) (key string, known bool) {
	key = bearer(r)
	if why := s.authenticate(key); why != nil {
		sendReply(w, why.reply(nil))
		return "", false
	}
	return key, true
}

// find returns the batch that a request is about after the faults that concern it; nil if it is answered already.
func (s *Simulator) find(w http.ResponseWriter, r *http.Request, on string) *batch {
	key, known := s.knock(w, r)
	if !known {
		return nil
	}
	s.batches.mu.Lock()
	b := s.visible(r.PathValue("id"), key)
	s.batches.mu.Unlock()
	about := b
	if about == nil {
		about = &batch{key: key}
	}
	if s.trouble(w, r, about, on) {
		return nil
	}
	if b == nil {
		sendReply(w, refused{http.StatusNotFound, "not_found", "Batch not found"}.reply(nil))
	}
	return b
}

// getBatch serves GET /batches/{id}, with the results of a completed batch.
func (s *Simulator) getBatch(w http.ResponseWriter, r *http.Request) {
	s.ledger.update(func(stats *Stats) { stats.BatchReads++ })
	b := s.find(w, r, "get")
	if b == nil {
		return
	}
	s.batches.mu.Lock()
	s.catchUp(b, true)
	view, results := b.view(), b.results
	s.batches.mu.Unlock()
	if view.Status != completed {
		send(w, http.StatusOK, view)
		return
	}
	const place = `"results":null`
	head, tail, _ := strings.Cut(encode(view), place)
	cut, torn := s.batchFault(b.key, b.model, "get", b.marked, "batch_cut")
	after := cut.arguments(s.kinds["batch_cut"]).number("after")
	w.Header().Set("Content-Type", "application/json")
	_, _ = io.WriteString(w, head+`"results":[`)
	for i, result := range results {
		if torn && i == after {
			e := &exchange{sim: s, writer: w, request: r}
			_, _ = io.WriteString(w, result[:len(result)/2])
			_ = e.flush() // the connection is cut anyway
			e.sever(cut.Params["how"] != "close")
			return
		}
		if i > 0 {
			result = "," + result
		}
		if _, err := io.WriteString(w, result); err != nil {
			return
		}
	}
	_, _ = io.WriteString(w, "]"+tail)
}

// deleteBatch serves DELETE /batches/{id}: of a batch that has ended.
func (s *Simulator) deleteBatch(w http.ResponseWriter, r *http.Request) {
	b := s.find(w, r, "delete")
	if b == nil {
		return
	}
	s.batches.mu.Lock()
	s.catchUp(b, false)
	b.deleted = b.ended()
	if b.deleted {
		b.results = nil
	}
	s.batches.mu.Unlock()
	if !b.deleted {
		sendReply(w, refused{http.StatusConflict, "conflict", "Only a batch that has ended can be deleted"}.reply(nil))
		return
	}
	send(w, http.StatusOK, map[string]any{"id": b.id, "object": "batch", "deleted": true})
}

// listBatches serves GET /batches: newest first, in pages.
func (s *Simulator) listBatches(w http.ResponseWriter, r *http.Request) {
	key, known := s.knock(w, r)
	if !known || s.trouble(w, r, &batch{key: key}, "list") {
		return
	}
	query := r.URL.Query()
	limit, err := strconv.Atoi(cmp.Or(query.Get("limit"), "20"))
	if err != nil || limit < 1 || limit > 100 {
		sendReply(w, invalid("limit: Invalid input: expected a number from 1 to 100").reply(nil))
		return
	}
	s.batches.mu.Lock()
	defer s.batches.mu.Unlock()
	views := []batchView{}
	more, begun := false, query.Get("after") == ""
	for _, b := range slices.Backward(s.batches.order) {
		if s.visible(b.id, key) == nil {
			continue
		}
		s.catchUp(b, false)
		switch {
		case !begun:
			begun = b.id == query.Get("after")
		case !matches(b, query.Get("status"), query.Get("created_after"), query.Get("created_before")):
		case len(views) == limit:
			more = true
		default:
			views = append(views, b.view())
		}
	}
	list := map[string]any{"object": "list", "data": views, "first_id": nil, "last_id": nil, "has_more": more}
	if len(views) > 0 {
		list["first_id"], list["last_id"] = views[0].ID, views[len(views)-1].ID
	}
	send(w, http.StatusOK, list)
}

// matches reports whether a batch passes the filters of a list; what is empty filters nothing.
func matches(b *batch, status, after, before string) bool {
	return (status == "" || status == b.status) &&
		(after == "" || b.created.After(unix(after))) && (before == "" || b.created.Before(unix(before)))
}

func unix(seconds string) time.Time {
	n, err := strconv.ParseInt(seconds, 10, 64)
	if err != nil {
		return time.Time{}
	}
	return time.Unix(n, 0)
}
