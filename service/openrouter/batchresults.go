package openrouter

import (
	"bufio"
	"bytes"
	"cmp"
	"encoding/json"
	"fmt"
	"io"
	"net/http"
	"slices"
	"time"
)

// BatchResult is the outcome of one item: a Completion or an Err. What an ordinary call would have failed with, Err says in
// the same way. CustomID is empty where the result is too broken to tell it. FirstToken is not known in a batch.
type BatchResult struct {
	CustomID   string
	Completion *Completion
	Err        *Error
}

// A batchReader reads one batch document, its results one by one.
type batchReader struct {
	client *Client
	key    string
	values *valueReader
	each   func(BatchResult) error // nil: results are skipped
}

// callerError is what each returned: it is nothing that went wrong with the document.
type callerError struct{ error }

// batch reads a document, in whichever order its fields are.
func (b *batchReader) batch() (wireBatch, error) {
	var doc wireBatch
	rest, err := b.outside(func(name string) (bool, error) {
		if name != "results" {
			return false, nil
		}
		return true, b.results()
	}, "id", "model", "status", "created_at", "finalized_at", "request_counts", "usage", "error")
	if err == nil {
		err = decode(rest, &doc)
	}
	return doc, err
}

// outside reads an object. A field that taken reads is done with; of the others, those that are wanted are returned, as an
// object of at most about maxLookup bytes.
func (b *batchReader) outside(taken func(name string) (bool, error), wanted ...string) ([]byte, error) {
	var rest bytes.Buffer
	before := byte('{')
	err := b.values.object(func(name string) error {
		if done, err := taken(name); done || err != nil {
			return err
		}
		raw, err := b.values.value(maxLookup)
		if err != nil || !slices.Contains(wanted, name) || b.values.cut || !json.Valid(raw) || rest.Len() > maxLookup {
			return err
		}
		fmt.Fprintf(&rest, "%c%q:%s", before, name, raw)
		before = ','
		return nil
	})
	if rest.Len() == 0 {
		rest.WriteByte('{')
	}
	rest.WriteByte('}')
	return rest.Bytes(), err
}

// results passes the results on.
func (b *batchReader) results() error {
	if b.each == nil {
		_, err := b.values.value(0)
		return err
	}
	return b.values.arrayOrNull(func() error {
		raw, err := b.values.value(b.client.maxAnswer)
		if err != nil {
			return err
		}
		if err := b.each(b.result(raw, b.values.cut)); err != nil {
			return callerError{err}
		}
		return nil
	})
}

type wireResult struct {
	CustomID text            `json:"custom_id"`
	Error    json.RawMessage `json:"error"`
	Response *struct {
		StatusCode int             `json:"status_code"`
		Body       json.RawMessage `json:"body"`
	} `json:"response"`
}

// result reads one result. What cannot be read is an outcome too: the others are not lost for it.
func (b *batchReader) result(raw []byte, cut bool) BatchResult {
	var w wireResult
	failed := &Error{Kind: KindMalformed, Message: "the result is not a JSON object", Retryable: true}
	switch {
	case cut || dense(raw):
		failed.Kind, failed.Message, failed.Retryable = KindTooLarge, fmt.Sprintf("the result exceeds %d bytes or %d values", b.client.maxAnswer, maxValues), false
		return BatchResult{CustomID: customIDOf(raw), Err: failed}
	case decode(raw, &w) != nil:
		return BatchResult{CustomID: customIDOf(raw), Err: failed}
	}
	r := BatchResult{CustomID: string(w.CustomID)}
	if w.Response == nil {
		r.Err = errorObjectError(b.key, &http.Response{StatusCode: http.StatusOK, Header: http.Header{}}, w.Error)
		if r.Err == nil {
			r.Err = &Error{Kind: KindEmpty, Message: "the result has neither a response nor an error", Retryable: true}
		}
		return r
	}
	response := &http.Response{StatusCode: cmp.Or(w.Response.StatusCode, http.StatusOK), Header: http.Header{}}
	r.Completion, r.Err = b.client.itemAnswer(b.key, response, w.Response.Body)
	if r.Err != nil && r.Err.Kind == KindStatus {
		return r
	}
	if failed := errorObjectError(b.key, response, w.Error); failed != nil {
		if r.Completion != nil {
			failed.Usage, failed.GenerationID = r.Completion.Usage, redactor(b.key).line(r.Completion.ID)
		}
		r.Completion, r.Err = nil, failed
	}
	return r
}

// itemAnswer reads the body of an item's response as that of a call that did not stream.
func (c *Client) itemAnswer(key string, response *http.Response, body []byte) (*Completion, *Error) {
	if response.StatusCode/100 != 2 {
		response.Body = io.NopCloser(bytes.NewReader(body))
		failed := statusError(key, response)
		failed.Edge = false // no proxy answers inside a batch
		failed.retryStatus()
		return nil, failed
	}
	s := &stream{client: c, key: key, response: response, answer: answer{max: c.maxAnswer}}
	var doc chunk
	if decode(body, &doc) != nil {
		return nil, s.complete(s.malformed("with a body that is not a JSON object"))
	}
	s.answer.id, s.answer.provider = doc.ID, doc.Provider
	failed := s.errorIn(&doc)
	if failed == nil {
		s.answer.absorb(&doc, func(string) {})
		failed = s.judge()
	}
	if failed == nil && s.answer.tooLarge() {
		failed = s.tooLarge("answer", c.maxAnswer)
	}
	s.answer.usage = itemUsage(&doc)
	if failed != nil {
		failed = s.complete(failed)
		failed.FirstToken = time.Time{}
		return nil, failed
	}
	done := s.answer.completion()
	done.FirstToken = time.Time{}
	return done, nil
}

// itemUsage returns what one item consumed. Its cost may be told only by its details.
func itemUsage(doc *chunk) *Usage {
	usage := doc.usage()
	if usage == nil || usage.Cost != nil {
		return usage
	}
	var w struct {
		BYOK    bool `json:"is_byok"`
		Details struct {
			Upstream *float64 `json:"upstream_inference_cost"`
		} `json:"cost_details"`
	}
	if decode(doc.Usage, &w) == nil && !w.BYOK {
		usage.Cost = w.Details.Upstream
	}
	return usage
}

// customIDOf looks for the id in a result that cannot be decoded, or not whole.
func customIDOf(raw []byte) string {
	var id text
	values := &valueReader{r: bufio.NewReader(bytes.NewReader(raw))}
	_ = values.object(func(name string) error { // where it breaks off is known to be broken
		value, err := values.value(maxName)
		if err == nil && name == "custom_id" && !values.cut {
			err = json.Unmarshal(value, &id)
		}
		return err
	})
	return string(id)
}
