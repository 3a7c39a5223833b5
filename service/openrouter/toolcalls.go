package openrouter

import (
	"cmp"
	"encoding/json"
	"slices"
	"strings"
)

// callOverhead is what a tool call counts beside its texts, so that endless empty ones soon reach the limit.
const callOverhead = 1 << 10

type toolCall struct {
	index     int64
	id, kind  string
	name      string
	arguments strings.Builder
}

type toolCalls []*toolCall

// add appends a fragment to the call it belongs to and returns how many bytes that took.
func (t *toolCalls) add(f fragment, whole bool) int {
	size := len(f.ID) + len(f.Function.Name) + len(f.Function.Arguments)
	call := t.find(f, whole)
	if call == nil {
		call = &toolCall{index: int64(len(*t))}
		if f.Index != nil {
			call.index = *f.Index
		}
		*t = append(*t, call)
		size += callOverhead
	}
	call.id = cmp.Or(call.id, f.ID)
	call.kind = cmp.Or(call.kind, f.Type)
	call.name = cmp.Or(call.name, f.Function.Name)
	call.arguments.Write(f.Function.Arguments)
	return size
}

// find returns the newest call with the fragment's index (without one: the newest call), or nil where a new one begins. An id
// that differs begins a new call as well: some providers number all parallel calls 0. In a message nothing is fragmented.
func (t *toolCalls) find(f fragment, whole bool) *toolCall {
	if whole {
		return nil
	}
	for _, call := range slices.Backward(*t) {
		if f.Index != nil && call.index != *f.Index {
			continue
		}
		if f.ID != "" && call.id != "" && f.ID != call.id {
			return nil
		}
		return call
	}
	return nil
}

// encode returns OpenAI's list in the order of the indices, or nil.
func (t *toolCalls) encode() json.RawMessage {
	if len(*t) == 0 {
		return nil
	}
	type function struct {
		Name      string `json:"name"`
		Arguments string `json:"arguments"`
	}
	type entry struct {
		ID       string   `json:"id"`
		Type     string   `json:"type"`
		Function function `json:"function"`
	}
	sorted := slices.Clone(*t)
	slices.SortStableFunc(sorted, func(a, b *toolCall) int { return cmp.Compare(a.index, b.index) })
	list := make([]entry, len(sorted))
	for i, call := range sorted {
		list[i] = entry{call.id, cmp.Or(call.kind, "function"), function{call.name, call.arguments.String()}}
	}
	encoded, err := json.Marshal(list)
	if err != nil {
		return nil // strings always encode
	}
	return encoded
}
