package simulator

import (
	"bytes"
	"crypto/rand"
	"encoding/json"
	"fmt"
	"hash/fnv"
	"net/http"
	"slices"
	"strings"
	"time"
)

// batchUsage is what a batch has consumed.
type batchUsage struct {
	PromptTokens     int     `json:"prompt_tokens"`
	CompletionTokens int     `json:"completion_tokens"`
	TotalTokens      int     `json:"total_tokens"`
	Cost             float64 `json:"cost"`
	IsBYOK           bool    `json:"is_byok"`
}

// itemResult is the result of one item.
type itemResult struct {
	ID       string        `json:"id"`
	CustomID string        `json:"custom_id"`
	Response *itemResponse `json:"response"`
	Error    *apiError     `json:"error"`
}

type itemResponse struct {
	StatusCode int             `json:"status_code"`
	RequestID  string          `json:"request_id"`
	Body       json.RawMessage `json:"body"`
}

// open makes an exchange of an item, as if it were a call.
func (s *Simulator) open(b *batch, i int) *exchange {
	item := b.items[i]
	e := &exchange{sim: s, stage: stageRun}
	e.asked, e.problem = decode(item.Body)
	prompt := e.asked.prompt()
	e.text, e.markers, e.markerErr = parseMarkers(prompt)
	e.call = &Call{Number: i + 1, At: time.Now(), Key: b.key, Prompt: prompt, Model: b.model, Body: item.Body}
	return e
}

// runItems runs the first items of a batch, bills them and keeps their results.
func (s *Simulator) runItems(b *batch, count int) {
	b.usage = &batchUsage{}
	for i := range b.items[:min(count, len(b.items))] {
		e := s.open(b, i)
		result := s.runItem(e, b.items[i].CustomID)
		run := BatchRun{BatchID: b.id, CustomID: b.items[i].CustomID, Key: b.key, Model: b.model, Prompt: e.call.Prompt}
		if result != nil && result.Response != nil {
			run.Status = result.Response.StatusCode
		}
		if e.gen != nil {
			e.gen.bill(e.call)
			run.Cost = e.call.Cost
			b.usage.add(*e.call)
			s.batches.runsFor[run.Prompt]++
			s.ledger.charge(b.key, run.Cost)
		}
		if run.Status == http.StatusOK {
			b.done++
		} else {
			b.lost++
		}
		s.batches.runs = append(s.batches.runs, run)
		if result != nil {
			b.results = append(b.results, encode(result))
		}
	}
	s.batches.forget(s.config.History)
	mixed := func(result string) uint32 { // results come in no order that means anything
		hash := fnv.New32a()
		_, _ = hash.Write([]byte(result))
		return hash.Sum32()
	}
	slices.SortFunc(b.results, func(x, y string) int { return int(int64(mixed(x)) - int64(mixed(y))) })
}

// forget keeps the memory of runs bounded.
func (s *batchStore) forget(keep int) {
	for keep > 0 && len(s.runs) > keep {
		if s.runsFor[s.runs[0].Prompt]--; s.runsFor[s.runs[0].Prompt] <= 0 {
			delete(s.runsFor, s.runs[0].Prompt)
		}
		s.runs = s.runs[1:]
	}
}

func (u *batchUsage) add(c Call) {
	u.PromptTokens += c.PromptTokens
	u.CompletionTokens += c.CompletionTokens
	u.TotalTokens += c.PromptTokens + c.CompletionTokens
	u.Cost = inDollars((u.Cost + c.Cost) * 1e6)
}

// runItem lets a model answer an item, or plays the fault that its prompt asks for. It returns nil for an item that is lost.
func (s *Simulator) runItem(e *exchange, id string) *itemResult {
	result := &itemResult{ID: "batch_req_" + strings.ToLower(rand.Text()), CustomID: id}
	f, asked := s.markerFault(e)
	k := s.kinds[f.Name]
	a := f.arguments(k)
	switch {
	case f.Name == "batch_dropped":
		return nil
	case f.Name == "batch_error":
		result.Error = eventError(a, "The request could not be run")
		return result
	case asked && k.answer != nil:
		result.fail(k.answer(e, a))
		return result
	}
	if refuse := e.asked.refusedBy(e.call.Model); refuse != nil {
		result.fail(refuse(e, args{}))
		return result
	}
	e.generate(e.call.Model)
	e.gen.id = strings.Replace(e.gen.id, "gen-", "gen-batch-", 1)
	e.gen.price, _ = batchPrice(e.call.Model)
	e.gen.unbilled = k.unbilled
	if k.shape != nil {
		k.shape(e.gen, a)
	}
	result.Response = respond(http.StatusOK, s.itemBody(e.gen))
	return result
}

// fail makes a result of a reply that is an error. One that is not JSON, or none at all, has no response.
func (r *itemResult) fail(with reply) {
	var body strings.Builder
	for _, st := range with.steps {
		body.WriteString(st.bytes())
	}
	if with.status < http.StatusBadRequest || !json.Valid([]byte(body.String())) {
		r.Error = &apiError{Code: "server_error", Message: "The provider did not answer"}
		return
	}
	r.Response = respond(with.status, json.RawMessage(body.String()))
}

func respond(status int, body json.RawMessage) *itemResponse {
	return &itemResponse{StatusCode: status, RequestID: "req-" + strings.ToLower(rand.Text()), Body: body}
}

// itemBody encodes an answer, without its cost if that is not told.
func (s *Simulator) itemBody(g *generation) json.RawMessage {
	body := json.RawMessage(encode(g.whole()))
	if !s.config.Batch.NoItemCost {
		return body
	}
	usage := g.usage()
	told := encode(usage)
	bare := encode(map[string]any{
		"prompt_tokens": usage.PromptTokens, "completion_tokens": usage.CompletionTokens, "total_tokens": usage.TotalTokens,
		"prompt_tokens_details": usage.PromptDetails, "completion_tokens_details": usage.Completion,
	})
	return bytes.Replace(body, []byte(told), []byte(bare), 1)
}

// validate returns the first item that is invalid, and what is wrong with it; or what else makes the batch fail.
func (s *Simulator) validate(b *batch) (index int, problem string) {
	if b.fate.Name == "batch_failed" {
		return -1, "The provider did not accept the batch"
	}
	var format string
	for i := range b.items {
		e := s.open(b, i)
		problem := itemProblem(e, b.model)
		e.stage = stageCheck
		if f, asked := s.markerFault(e); asked {
			problem = "messages: Invalid input (" + f.Name + ")"
		}
		if own := itemFormat(b.items[i].Body); i == 0 {
			format = own
		} else if own != format && strings.HasPrefix(b.model, "google/") {
			problem = "response_format: all requests of a batch must have the same"
		}
		if problem != "" {
			return i, problem
		}
	}
	return 0, ""
}

// batchProblem is the error of a batch that one item made fail.
func (s *Simulator) batchProblem(b *batch, index int, problem string) *apiError {
	e := &apiError{Code: http.StatusBadRequest, Message: problem, Metadata: map[string]any{"error_type": "invalid_request"}}
	switch {
	case index < 0 || s.config.Batch.Names == NamesNothing:
	case s.config.Batch.Names == NamesIndex:
		e.Message = fmt.Sprintf("requests.%d.body.%s", index, problem)
	default:
		e.Message = fmt.Sprintf("Invalid request with custom_id %q: %s", b.items[index].CustomID, problem)
	}
	return e
}
