package events

import (
	"bytes"
	"encoding/json"
	"strings"
	"time"

	"gemini-client/events/jsonscan"
)

// TierBatch is the tier of a request that may wait for OpenRouter's Batch API, at
// about half the price.
const TierBatch = "batch"

// tierStandard is how a request says that it is an ordinary one.
const tierStandard = "standard"

// BatchWindow is how long a batch may take by OpenRouter's own word. A request whose
// deadline is nearer than that is not sent as one.
const BatchWindow = 24 * time.Hour

// batchTier reads how the request is paid for. Its fallback is true unless it says
// otherwise, and means nothing in an ordinary request.
func (d *decoder) batchTier() {
	value, ok := d.top.getOrNull("tier")
	if ok && jsonscan.KindOf(value) != jsonscan.String {
		d.broken.add("tier", "is %s; give \"batch\" or \"standard\"", show(value))
		return
	}
	fallback := true
	if _, there := d.top.getOrNull("tier_fallback"); there {
		fallback = d.top.boolean("tier_fallback")
	}
	if !ok {
		return
	}
	switch tier := jsonscan.Text(value); tier {
	case tierStandard:
	case TierBatch:
		d.request.Tier, d.request.TierFallback = tier, fallback
	default:
		d.broken.add("tier", "is %s; give \"batch\" or \"standard\"", quote(tier))
	}
}

// NotForBatch returns why OpenRouter's Batch API does not take the request at a
// time, as the end of a sentence; "" if nothing in the request speaks against it.
// What depends on the model only OpenRouter knows.
func (r Request) NotForBatch(now time.Time) string {
	switch {
	case r.Stream:
		return "it has no deltas (stream)"
	case r.BodyRef != nil:
		return "its requests hold their prompts themselves (body_ref)"
	case !r.Deadline.IsZero() && r.Deadline.Before(now.Add(BatchWindow)):
		return "it may take 24 hours, and the deadline is nearer"
	case hasSuffix(r.Model, "online"):
		return "it has no web search (:online)"
	case !isEmptyList(r.OpenRouter["plugins"]):
		return "it has no plugins"
	case r.usesServerTools():
		return "it has no server tools"
	}
	return notForBatch(r.Messages)
}

func isEmptyList(value json.RawMessage) bool {
	return len(value) == 0 || jsonscan.KindOf(value) != jsonscan.List || length(value) == 0
}

func (r Request) usesServerTools() bool {
	tools := r.OpenRouter["tools"]
	if isEmptyList(tools) {
		return false
	}
	for _, tool := range jsonscan.Elements(tools) {
		if jsonscan.KindOf(tool) == jsonscan.Object && isServerTool(member(tool, "type")) {
			return true
		}
	}
	return false
}

// notForBatch looks through the content parts of a message list. Batch takes texts
// and images at public addresses.
func notForBatch(messages json.RawMessage) string {
	if messages = bytes.TrimSpace(messages); len(messages) == 0 || jsonscan.KindOf(messages) != jsonscan.List {
		return ""
	}
	for _, message := range jsonscan.Elements(messages) {
		if jsonscan.KindOf(message) != jsonscan.Object {
			continue
		}
		for name, content := range jsonscan.Members(message) {
			if string(name) == "content" && jsonscan.KindOf(content) == jsonscan.List {
				if why := contentNotForBatch(content); why != "" {
					return why
				}
			}
		}
	}
	return ""
}

func contentNotForBatch(parts []byte) string {
	for _, part := range jsonscan.Elements(parts) {
		if why := partNotForBatch(part); why != "" {
			return why
		}
	}
	return ""
}

func partNotForBatch(part []byte) string {
	if jsonscan.KindOf(part) != jsonscan.Object {
		return ""
	}
	switch kind := member(part, "type"); kind {
	case "", "text":
		return ""
	case "image_url":
		for name, value := range jsonscan.Members(part) {
			if string(name) == "image_url" && isData(value) {
				return "it takes images at public addresses only, and none as data: URLs"
			}
		}
		return ""
	default:
		return "it takes texts and images, and no content parts of the type " + quote(kind)
	}
}

// isData reports whether an image is sent along: its URL, or that of an object that
// holds one, is a data: URL.
func isData(image []byte) bool {
	url := ""
	switch jsonscan.KindOf(image) { //nolint:exhaustive // the others hold no URL
	case jsonscan.String:
		url = jsonscan.Text(image)
	case jsonscan.Object:
		url = member(image, "url")
	}
	return len(url) >= len("data:") && strings.EqualFold(url[:len("data:")], "data:")
}

// member returns a string of an object, "" if it has none of that name.
func member(object []byte, name string) string {
	for key, value := range jsonscan.Members(object) {
		if string(key) == name && jsonscan.KindOf(value) == jsonscan.String {
			return jsonscan.Text(value)
		}
	}
	return ""
}
