package upstream

import (
	"bytes"
	"context"
	"crypto/sha256"
	"encoding/binary"
	"encoding/json"
	"maps"
	"slices"

	"gemini-client/events"
	"gemini-client/service/openrouter"
	"gemini-client/telemetry"
)

// saving adds to a request what makes its answer cheaper: the response cache, and
// patience with flex, whose answers may take minutes to begin.
func (u *Caller) saving(r *events.Request, chat openrouter.Request) openrouter.Request {
	chat.CacheTTL = r.CacheTTL
	if seconds := u.config.Cache.Seconds(); chat.CacheTTL == nil && seconds > 0 {
		chat.CacheTTL = new(seconds)
	}
	if cached(chat) {
		for name, value := range chat.Extra {
			if !ordered(name) {
				chat.Extra[name] = sortKeys(value)
			}
		}
	}
	if byTier, byProvider := asksFlex(chat); byTier || byProvider {
		chat.FirstToken = max(u.config.CallTimeout, u.config.FirstTokenTimeout)
	}
	return chat
}

func cached(r openrouter.Request) bool { return r.CacheTTL != nil && *r.CacheTTL > 0 }

func (c *call) cacheOn() bool { return cached(c.request) }

// fromCache reports whether the call's answer is one that OpenRouter had kept.
func (c *call) fromCache() bool { return c.answer != nil && c.answer.Cached }

// clearsCache reports whether what the cache holds has to go first: a 200 is kept
// whatever is in it, and would come again.
func (c *call) clearsCache() bool {
	return c.cacheOn() && c.last != nil && (c.last.kind == kindEmpty || c.last.kind == kindFinishError)
}

// ordered names the fields in which the order of keys has a meaning: a model writes
// an object in the order of its schema.
func ordered(name string) bool { return name == "tools" || name == "response_format" }

// maxSorted is up to which size the keys of a field are sorted.
const maxSorted = 64 << 10

// sortKeys returns JSON with the keys of every object sorted and without spaces:
// OpenRouter's response cache takes another order for another request. Values are
// kept as they are written. What is large, or not JSON, is returned unchanged.
func sortKeys(value json.RawMessage) json.RawMessage {
	if len(value) > maxSorted || !json.Valid(value) {
		return value
	}
	return appendSorted(nil, value)
}

func appendSorted(to []byte, value json.RawMessage) []byte {
	value = bytes.TrimSpace(value)
	var object map[string]json.RawMessage
	var list []json.RawMessage
	switch {
	case value[0] == '{' && json.Unmarshal(value, &object) == nil:
		before := byte('{')
		for _, key := range slices.Sorted(maps.Keys(object)) {
			name, _ := json.Marshal(key) // a string always encodes
			to = append(append(append(to, before), name...), ':')
			to = appendSorted(to, object[key])
			before = ','
		}
		if len(object) == 0 {
			to = append(to, before)
		}
		return append(to, '}')
	case value[0] == '[' && json.Unmarshal(value, &list) == nil:
		to = append(to, '[')
		for i, element := range list {
			if i > 0 {
				to = append(to, ',')
			}
			to = appendSorted(to, element)
		}
		return append(to, ']')
	}
	return append(to, value...)
}

// bodyHash is what equal requests have in common, while the response cache is on:
// OpenRouter keeps the cache for each key apart.
func (c *call) bodyHash() []byte {
	if !c.cacheOn() {
		return nil
	}
	sum, err := c.request.Digest()
	if err != nil {
		return nil // the call will say what is wrong with it
	}
	return sum[:]
}

// weight is how well a key suits a body. Each body has its own order of the keys
// (rendezvous hashing): a key that cannot be used leaves its bodies to the others
// and takes them back afterwards, and all processes agree.
func (key *apiKey) weight(body []byte) uint64 {
	sum := sha256.Sum256(append(slices.Clip(body), key.secret...))
	return binary.BigEndian.Uint64(sum[:])
}

// withTrace fills in OpenRouter's field trace from the current span
// (OPENROUTER_TRACE). What the request says itself stays. It is left out while the
// response cache is on: no two bodies would be equal.
func (u *Caller) withTrace(ctx context.Context, chat openrouter.Request) openrouter.Request {
	traceID, spanID := telemetry.IDs(ctx)
	if !u.config.Trace || traceID == "" || cached(chat) {
		return chat
	}
	trace := map[string]json.RawMessage{}
	if own, ok := chat.Extra["trace"]; ok && json.Unmarshal(own, &trace) != nil || trace == nil {
		trace = map[string]json.RawMessage{}
	}
	for name, id := range map[string]string{"trace_id": traceID, "parent_span_id": spanID} {
		if _, own := trace[name]; !own {
			trace[name] = json.RawMessage(`"` + id + `"`)
		}
	}
	var body bytes.Buffer
	encoder := json.NewEncoder(&body)
	encoder.SetEscapeHTML(false)
	if err := encoder.Encode(trace); err != nil {
		return chat // its own trace is no JSON, which the call will say
	}
	if chat.Extra == nil {
		chat.Extra = map[string]json.RawMessage{}
	}
	chat.Extra["trace"] = bytes.TrimSpace(body.Bytes())
	return chat
}
