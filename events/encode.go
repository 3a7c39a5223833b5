package events

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"slices"
	"unicode/utf8"
)

// Encode returns the result's JSON. Metadata is in it byte for byte, and text
// as it is: no character is escaped for HTML. It returns an error if Metadata
// is neither nil nor a JSON object, if ToolCalls is not JSON, or if a number is
// not finite.
func (r Result) Encode() ([]byte, error) {
	metadata := []byte(r.Metadata)
	if len(metadata) == 0 {
		metadata = []byte("null")
	} else if !isObjectText(metadata) {
		return nil, errors.New("encode result: metadata is not a JSON object in UTF-8")
	}
	// json.Marshal would rewrite the metadata, so it is kept out of it and put
	// at the end by hand. The outer fields hide the plain ones.
	type plain Result
	body, err := marshal(struct {
		plain

		Timestamp string   `json:"timestamp"`
		Metadata  struct{} `json:"metadata,omitzero"`
	}{plain: plain(r), Timestamp: formatTime(r.Timestamp)})
	if err != nil {
		return nil, fmt.Errorf("encode result: %w", err)
	}
	const field = `,"metadata":`
	body = slices.Grow(body[:len(body)-1], len(field)+len(metadata)+1) // at once: metadata may be almost all of it
	body = append(body, field...)
	body = append(body, metadata...)
	return append(body, '}'), nil
}

// DecodeResult reads a result, for its readers. The error says what makes the
// body unreadable: it is not JSON of the right types, or lacks a valid
// request_id, status or timestamp. Fields it does not know are ignored.
func DecodeResult(body []byte) (Result, error) {
	type plain Result
	var read struct {
		plain

		Timestamp string `json:"timestamp"`
	}
	if err := json.Unmarshal(body, &read); err != nil {
		return Result{}, fmt.Errorf("decode result: %w", err)
	}
	result := Result(read.plain)
	at, ok := parseTime(read.Timestamp)
	switch {
	case !ValidID(result.RequestID):
		return Result{}, fmt.Errorf("decode result: request_id %s is not a UUID", quote(result.RequestID))
	case result.Status != StatusSuccess && result.Status != StatusError:
		return Result{}, fmt.Errorf("decode result: status %s is neither success nor error", quote(string(result.Status)))
	case !ok:
		return Result{}, fmt.Errorf("decode result: timestamp %s is not a time", quote(read.Timestamp))
	}
	result.Timestamp = at
	result.Metadata = nilIfNull(result.Metadata)
	result.ToolCalls = nilIfNull(result.ToolCalls)
	return result, nil
}

// isObjectText reports whether raw is one JSON object, alone and in UTF-8.
func isObjectText(raw []byte) bool {
	return raw[0] == '{' && utf8.Valid(raw) && json.Valid(raw)
}

// marshal is json.Marshal without its escapes for HTML.
func marshal(v any) ([]byte, error) {
	var buffer bytes.Buffer
	encoder := json.NewEncoder(&buffer)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(v); err != nil {
		return nil, err
	}
	return bytes.TrimSuffix(buffer.Bytes(), []byte("\n")), nil
}

func nilIfNull(raw json.RawMessage) json.RawMessage {
	if string(raw) == "null" {
		return nil
	}
	return raw
}
