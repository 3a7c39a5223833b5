package openrouter

import (
	"bytes"
	"cmp"
	"encoding/json"
	"errors"
	"fmt"
	"math"
	"regexp"
	"strconv"
	"time"
)

// What one batch may hold.
const (
	BatchMaxItems = 5_000
	BatchMaxBytes = 200_000_000 // of the whole upload
)

// The statuses of a batch. OpenRouter may know others: a batch in one of them has not ended.
const (
	BatchValidating = "validating"  // stored, not yet checked: one invalid item makes it fail
	BatchInProgress = "in_progress" // its items are run
	BatchFinalizing = "finalizing"
	BatchCompleted  = "completed" // the only one that has results; some of its items may have failed
	BatchFailed     = "failed"
	BatchExpired    = "expired"
	BatchCancelling = "cancelling"
	BatchCancelled  = "cancelled"
)

// BatchItem is one request of a batch. CustomID, unique in the batch, is what its result is known by. Its Request has the
// batch's model or none, and no list of models.
type BatchItem struct {
	CustomID string
	Request  Request
}

// Size returns how many bytes the item takes in the upload, out of [BatchMaxBytes].
func (i BatchItem) Size() (int64, error) {
	id, body, err := i.encode("")
	if err != nil {
		return 0, err
	}
	return int64(len(itemHead)+len(id)+len(itemBody)) + body.size + 2, nil // its end, and a comma
}

const (
	itemHead = `{"custom_id":`
	itemBody = `,"body":`
)

// encode returns the id and the body as they are sent. A model of "" allows any.
func (i BatchItem) encode(model string) (id []byte, b *body, err error) {
	r := i.Request
	switch {
	case i.CustomID == "":
		return nil, nil, errors.New("no custom id")
	case model != "" && r.Model != "" && r.Model != model:
		return nil, nil, errors.New("its model is not the batch's")
	case len(r.Models) > 0:
		return nil, nil, errors.New("a batch has one model, and no others to fall back to")
	}
	for _, name := range []string{"model", "models", "stream"} {
		if _, given := r.Extra[name]; given {
			return nil, nil, fmt.Errorf("extra field %q is set by the batch", name)
		}
	}
	r.Model = ""
	if b, err = r.encode(); err != nil {
		return nil, nil, err
	}
	id, err = json.Marshal(i.CustomID)
	return id, b, err
}

// BatchJob is what the items of a batch have in common.
type BatchJob struct {
	Model    string
	Provider json.RawMessage // OpenRouter's provider object; nil for any
}

// head returns the upload up to the first item. The requests must come last.
func (j BatchJob) head() ([]byte, error) {
	if j.Model == "" {
		return nil, errors.New("no model")
	}
	if len(j.Provider) > 0 && (!json.Valid(j.Provider) || !isObject(j.Provider)) {
		return nil, errors.New("provider: not a JSON object")
	}
	head, err := json.Marshal(struct {
		Endpoint string          `json:"endpoint"`
		Model    string          `json:"model"`
		Provider json.RawMessage `json:"provider,omitempty"`
		Window   string          `json:"completion_window"`
	}{"/v1/chat/completions", j.Model, j.Provider, "24h"})
	if err != nil {
		return nil, err
	}
	return append(bytes.TrimSuffix(head, []byte("}")), `,"requests":[`...), nil
}

// Batch is the state of a batch.
type Batch struct {
	ID, Model, Status        string
	CreatedAt, FinalizedAt   time.Time // zero if it is not told
	Total, Completed, Failed int       // items
	Usage                    *Usage    // of all items together; nil while it is not known
	BYOK                     bool      // run with a provider's key of ours: Usage.Cost is OpenRouter's fee alone
	Error                    *BatchError
}

// Ended reports whether the batch changes no more.
func (b Batch) Ended() bool {
	switch b.Status {
	case BatchCompleted, BatchFailed, BatchExpired, BatchCancelled:
		return true
	}
	return false
}

// BatchError says why a batch failed. Its form is not documented: which item was at fault is taken from wherever the error
// names it, and is a hint.
type BatchError struct {
	Message  string // for people: one line of at most 500 characters
	Code     string
	Type     string // error_type
	CustomID string // of the item it names; empty if it names none
	Index    int    // of the item it names, counted from 0; -1 if it names none
}

// Error returns the message.
func (e *BatchError) Error() string { return "openrouter: batch failed: " + e.Message }

type wireBatch struct {
	ID          text            `json:"id"`
	Model       text            `json:"model"`
	Status      text            `json:"status"`
	CreatedAt   text            `json:"created_at"`
	FinalizedAt text            `json:"finalized_at"`
	Usage       json.RawMessage `json:"usage"`
	Error       json.RawMessage `json:"error"`
	Counts      struct {
		Total     int `json:"total"`
		Completed int `json:"completed"`
		Failed    int `json:"failed"`
	} `json:"request_counts"`
}

// isBatch reports whether there is an id, fit to be asked for.
func (w wireBatch) isBatch(key string) bool {
	return w.ID != "" && redactor(key).line(string(w.ID)) == string(w.ID)
}

func (w wireBatch) batch(key string) Batch {
	red := redactor(key)
	b := Batch{
		ID: string(w.ID), Model: red.line(string(w.Model)), Status: red.line(string(w.Status)),
		CreatedAt: unixTime(string(w.CreatedAt)), FinalizedAt: unixTime(string(w.FinalizedAt)),
		Total: max(w.Counts.Total, 0), Completed: max(w.Counts.Completed, 0), Failed: max(w.Counts.Failed, 0),
		Usage: (&chunk{Usage: w.Usage}).usage(),
		Error: batchError(key, w.Error),
	}
	var owner struct {
		BYOK bool `json:"is_byok"`
	}
	_ = decode(w.Usage, &owner) // no usage is nobody's
	b.BYOK = owner.BYOK
	return b
}

// unixTime reads seconds, or a date as text; anything else is zero.
func unixTime(value string) time.Time {
	if at, err := time.Parse(time.RFC3339, value); err == nil {
		return at
	}
	seconds, err := strconv.ParseFloat(value, 64)
	if err != nil || !(seconds > 0 && seconds < math.MaxInt32) {
		return time.Time{}
	}
	return time.Unix(int64(seconds), 0)
}

var (
	indexPattern    = regexp.MustCompile(`\brequests?(?:\.|\[| #?)(\d{1,4})\b`)
	customIDPattern = regexp.MustCompile("custom_id:? ?[\"'`]([^\"'`]{1,200})[\"'`]")
)

// batchError reads a batch's error object, or a text in its place; nil if there is none.
func batchError(key string, raw json.RawMessage) *BatchError {
	raw = bytes.TrimSpace(raw)
	switch string(raw) {
	case "", "null", "false", `""`, "{}", "[]":
		return nil
	}
	var obj errorObject
	var place struct {
		CustomID text `json:"custom_id"`
		Index    *int `json:"index"`
		Metadata struct {
			CustomID text `json:"custom_id"`
			Index    *int `json:"index"`
		} `json:"metadata"`
	}
	if decode(raw, &obj) != nil || decode(raw, &place) != nil || messageOf(obj) == "" {
		obj.Message = text(reasonIn(raw, 0))
	}
	message, red := messageOf(obj), redactor(key)
	e := &BatchError{
		Message: red.line(message), Code: red.line(string(obj.Code)), Type: red.line(cmp.Or(obj.Metadata.ErrorType, obj.ErrorType)),
		CustomID: cmp.Or(string(place.CustomID), string(place.Metadata.CustomID)), Index: -1,
	}
	e.Message = cmp.Or(e.Message, e.Type, e.Code, "an error without a message")
	for _, index := range []*int{place.Index, place.Metadata.Index} {
		if index != nil && *index >= 0 && e.Index < 0 {
			e.Index = *index
		}
	}
	if found := customIDPattern.FindStringSubmatch(message); found != nil && e.CustomID == "" {
		e.CustomID = found[1]
	}
	if found := indexPattern.FindStringSubmatch(message); found != nil && e.Index < 0 {
		e.Index, _ = strconv.Atoi(found[1]) // four digits
	}
	return e
}
