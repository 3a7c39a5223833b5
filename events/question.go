package events

import (
	"bytes"
	"encoding/json"
	"iter"
	"strings"

	"gemini-client/events/jsonscan"
)

// question reads the model, the prompt or messages, and the system instruction.
func (d *decoder) question() {
	d.request.Model = ModelName(d.rules.DefaultModel)
	if model, ok := d.top.text("model"); ok {
		d.request.Model, d.request.NamesModel = d.model("model", model), true
	} else if !d.rules.tenantMayName(d.request.Model) {
		d.broken.add("model", "is not given, and tenant %s may not use the default, %s; give a model that matches one of %s",
			quote(d.rules.Tenant), quote(d.request.Model), quoteAll(d.rules.TenantModels))
	}
	d.request.SystemInstruction, _ = d.top.secret("system_instruction")
	if ref, ok := d.top.getOrNull("body_ref"); ok || d.top.repeated["body_ref"] {
		if ok {
			d.bodyRef(ref)
		}
		return
	}
	d.words()
}

// words reads the prompt or the messages.
func (d *decoder) words() {
	// Typed backends send null for whichever of the two they do not use.
	if _, ok := d.top.getOrNull("messages"); !ok && !d.top.repeated["messages"] {
		d.prompt()
		return
	}
	if value, ok := d.top.values["prompt"]; ok && jsonscan.KindOf(value) != jsonscan.Null {
		d.broken.add("prompt and messages", "are both given; give one of them")
		return
	}
	d.messages()
}

func (d *decoder) prompt() {
	value, ok := d.top.get("prompt")
	switch {
	case d.top.repeated["prompt"]: // Already noted.
	case !ok:
		d.broken.add("prompt", "is missing; give a string of at least 1 character, or messages")
	case jsonscan.KindOf(value) != jsonscan.String:
		d.broken.add("prompt", "is %s; give a string of at least 1 character, or messages", jsonscan.KindOf(value))
	default:
		if d.request.Prompt = jsonscan.Text(value); d.request.Prompt == "" {
			d.broken.add("prompt", "is empty; give at least 1 character")
		}
	}
}

// messages checks only what every message needs; OpenRouter checks the rest.
func (d *decoder) messages() {
	value, ok := d.top.get("messages")
	if !ok {
		return
	}
	if kind := jsonscan.KindOf(value); kind != jsonscan.List {
		d.broken.add("messages", "is %s; give a list of messages", kind)
		return
	}
	within := d.broken.withinLimits("messages", value)
	if !d.broken.atMost(MaxMessages, "messages", value, "messages") || !within {
		return
	}
	empty, parts := true, 0
	for i, message := range jsonscan.Elements(value) {
		empty = false
		parts += d.message(i, message)
	}
	if empty {
		d.broken.add("messages", "is empty; give at least one message, or a prompt")
	}
	if parts > MaxParts {
		d.broken.add("messages", "has %d content parts and tool calls in all its messages; give at most %d", parts, MaxParts)
	}
	d.request.Messages = value
}

// message returns how many content parts and tool calls a message has.
func (d *decoder) message(i int, message []byte) (parts int) {
	if kind := jsonscan.KindOf(message); kind != jsonscan.Object {
		d.broken.add(place("messages", i), "is %s; give an object with a role", kind)
		return 0
	}
	roles, named := 0, false
	for name, value := range jsonscan.Members(message) {
		switch {
		case string(name) == "role":
			roles++
			named = jsonscan.KindOf(value) == jsonscan.String
		case (string(name) == "content" || string(name) == "tool_calls") && jsonscan.KindOf(value) == jsonscan.List:
			parts += length(value)
		}
	}
	switch {
	case roles > 1:
		d.broken.add(place("messages", i)+".role", "is given more than once; give it once")
	case !named:
		d.broken.add(place("messages", i)+".role", "is missing or not a string; give a string such as \"user\"")
	}
	return parts
}

// parameters reads the generation parameters over their defaults.
func (d *decoder) parameters() {
	p := &d.request.Parameters
	*p = DefaultParameters()
	value, ok := d.top.get("parameters")
	if !ok {
		return
	}
	if jsonscan.KindOf(value) != jsonscan.Object {
		d.broken.add("parameters", "is %s; give an object or leave it out", show(value))
		return
	}
	f := readFields(value, "parameters.", &d.broken, "temperature", "top_p", "top_k",
		"max_output_tokens", "candidate_count", "stop_sequences")
	f.number("temperature", 0, 2, &p.Temperature)
	f.number("top_p", 0, 1, &p.TopP)
	f.integer("top_k", 1, 100, &p.TopK)
	f.integer("max_output_tokens", 1, 32768, &p.MaxOutputTokens)
	f.integer("candidate_count", 1, 8, &p.CandidateCount)
	p.StopSequences = f.list("stop_sequences", MaxStopSequences)
}

// maxModelName bounds the name of a model, in bytes. The name goes into log lines
// and spans, so a prompt sent as a model by mistake must not pass as one.
const maxModelName = 128

// model checks a model the request names at path, and returns its full name, ""
// if it cannot be one.
func (d *decoder) model(path, name string) string {
	full := ModelName(name)
	if len(name) > maxModelName || strings.ContainsFunc(name, func(r rune) bool { return r <= ' ' || r > '~' }) {
		d.broken.add(path, "is %s, which is no model's name: those have at most %d characters, and no spaces among them", quote(name), maxModelName)
		return ""
	}
	if !d.rules.matchesModel(full) {
		d.broken.add(path, "is %s, which is not allowed; give a model that matches one of %s",
			quote(name), quoteAll(d.rules.Models))
	} else if !d.rules.tenantMayName(full) {
		d.broken.add(path, "is %s, which tenant %s may not use; give a model that matches one of %s",
			quote(name), quote(d.rules.Tenant), quoteAll(d.rules.TenantModels))
	} else if hasSuffix(full, "online") && !d.rules.allowsPlugin("web") {
		d.broken.add(path, "is %s, whose suffix :online turns on the plugin \"web\", which is not allowed; leave the suffix out",
			quote(name))
	} else if !d.rules.AllowsModel(full) {
		d.broken.add(path, "is %s, whose suffix :nitro asks for the price tier \"priority\", which is not allowed; leave the suffix out", quote(name))
	}
	return full
}

// Texts yields the request's words: prompt, system instruction, its message list as
// it was sent, and the texts in that list as they read.
func (r Request) Texts() iter.Seq[string] {
	return func(yield func(string) bool) {
		if !yield(r.Prompt) || !yield(r.SystemInstruction) || !yield(string(r.Messages)) {
			return
		}
		if !json.Valid(r.Messages) || jsonscan.KindOf(bytes.TrimSpace(r.Messages)) != jsonscan.List {
			return // It was not decoded.
		}
		for _, message := range jsonscan.Elements(bytes.TrimSpace(r.Messages)) {
			if jsonscan.KindOf(message) == jsonscan.Object && !textsOf("content", message, yield) {
				return
			}
		}
	}
}

// textsOf yields the texts of a member of an object: it is one, or a list of
// objects with a text, or a list of those. It reports whether to go on.
func textsOf(name string, object []byte, yield func(string) bool) bool {
	for key, value := range jsonscan.Members(object) {
		if string(key) == name && !texts(value, yield) {
			return false
		}
	}
	return true
}

func texts(value []byte, yield func(string) bool) bool {
	switch jsonscan.KindOf(value) {
	case jsonscan.String:
		return yield(jsonscan.Text(value))
	case jsonscan.Object:
		return textsOf("text", value, yield)
	case jsonscan.List:
		for _, element := range jsonscan.Elements(value) {
			if !texts(element, yield) {
				return false
			}
		}
	case jsonscan.Number, jsonscan.Bool, jsonscan.Null:
	}
	return true
}
