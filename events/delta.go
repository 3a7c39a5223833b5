package events

import (
	"encoding/json"
	"fmt"
	"strconv"
)

// Delta is a piece of an answer that is still being written. Deltas are
// best effort: they may be lost, and the result is complete without them.
type Delta struct {
	// RequestID is the request's id, spelt as it was sent.
	RequestID string `json:"request_id"`
	// Run is new with every delivery of the request. A reader follows the
	// newest run and drops the text of older ones.
	Run string `json:"run"`
	// Attempt counts the run's calls from 1. A new attempt starts the answer again.
	Attempt int `json:"attempt"`
	// Index counts the attempt's deltas from 0: a gap is a lost one.
	Index int `json:"index"`
	// Content is what was written since the delta before.
	Content string `json:"content"`
	// Done marks the last delta of a run.
	Done bool `json:"done"`
}

// Encode returns the delta's JSON. No character is escaped for HTML. The error
// is always nil; it is there because encoders have one.
func (d Delta) Encode() ([]byte, error) {
	const rest = 192
	body := make([]byte, 0, rest+len(d.Content)+len(d.Content)/16)
	body = appendString(field(append(body, '{'), "request_id"), d.RequestID)
	body = appendString(field(body, "run"), d.Run)
	body = appendInt(field(body, "attempt"), &d.Attempt)
	body = appendInt(field(body, "index"), &d.Index)
	body = appendString(field(body, "content"), d.Content)
	body = strconv.AppendBool(field(body, "done"), d.Done)
	return append(body, '}'), nil
}

// DecodeDelta reads a delta. It returns an error if body
// is not JSON of the right types or has no valid request_id.
func DecodeDelta(body []byte) (Delta, error) {
	var delta Delta
	if err := json.Unmarshal(body, &delta); err != nil {
		return Delta{}, fmt.Errorf("decode delta: %w", err)
	}
	if !ValidID(delta.RequestID) {
		return Delta{}, fmt.Errorf("decode delta: request_id %s is not a UUID", quote(delta.RequestID))
	}
	return delta, nil
}
