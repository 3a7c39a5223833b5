package events

import (
	"encoding/json"
	"slices"
	"strings"

	"gemini-client/events/jsonscan"
)

// refusedFields are OpenRouter's fields a request may not pass on, each with
// the field of the contract to use instead, if there is one.
func refusedFields() [][2]string {
	return [][2]string{
		{"model", "model"},
		{"messages", "messages"},
		{"prompt", "prompt"},
		{"stream", "stream"},
		{"stream_options", ""},
		{"usage", ""},
		{"max_tokens", "parameters.max_output_tokens"},
		{"max_completion_tokens", "parameters.max_output_tokens"},
		{"temperature", "parameters.temperature"},
		{"top_p", "parameters.top_p"},
		{"top_k", "parameters.top_k"},
		{"stop", "parameters.stop_sequences"},
		{"n", ""},
		{"debug", ""},
	}
}

// openRouter reads the fields that are passed on. They are left as they are,
// but what changes the price is checked: models, presets, price tiers, plugins and
// server tools. So are the lengths of what OpenRouter keeps beside a call.
func (d *decoder) openRouter() {
	value, ok := d.top.getOrNull("openrouter")
	if !ok {
		return
	}
	if jsonscan.KindOf(value) != jsonscan.Object {
		d.broken.add("openrouter", "is %s; give an object or null", show(value))
		return
	}
	within := d.broken.withinLimits("openrouter", value)
	if !d.broken.atMost(MaxOpenRouterFields, "openrouter", value, "fields") || !within {
		return
	}
	f := readFields(value, "openrouter.", &d.broken)
	for _, refused := range refusedFields() {
		if _, there := f.values[refused[0]]; !there {
			continue
		}
		if refused[1] == "" {
			d.broken.add(f.at(refused[0]), "is not passed on; leave it out")
		} else {
			d.broken.add(f.at(refused[0]), "is not passed on; use %s", refused[1])
		}
	}
	d.fallbackModels(f)
	d.tiers(f)
	d.labels(f)
	for plugin := range f.objects("plugins", "id") {
		d.plugin(plugin)
	}
	for tool := range f.objects("tools", "type") {
		d.tool(tool)
	}
	d.request.OpenRouter = make(map[string]json.RawMessage, len(f.values))
	for name, value := range f.values {
		d.request.OpenRouter[name] = value
	}
}

// fallbackModels checks models like model, and completes bare Gemini names. OpenRouter
// counts the entries of the list as it is sent, repeated ones too, and not model.
func (d *decoder) fallbackModels(f fields) {
	names := f.list("models", MaxModels)
	full := make([]string, len(names))
	for i, name := range names {
		full[i] = d.model(place("openrouter.models", i), name)
	}
	if slices.Equal(names, full) {
		return // They are passed on as they were sent.
	}
	if list, err := json.Marshal(full); err == nil { // Strings always encode.
		f.values["models"] = list
	}
}

func (d *decoder) plugin(plugin fields) {
	id, ok := plugin.text("id")
	switch _, there := plugin.values["id"]; {
	case !there:
		d.broken.add(plugin.at("id"), "is missing; give the plugin's id")
	case ok && !d.rules.allowsPlugin(id):
		d.broken.add(plugin.at("id"), "is %s, which is not allowed; allowed are %s", quote(id), quoteAll(d.rules.Plugins))
	}
}

// tool allows a backend's own functions. Tools that OpenRouter runs itself cost
// extra, like plugins, so they have to be in Plugins.
func (d *decoder) tool(tool fields) {
	name, ok := tool.text("type")
	if !ok || !isServerTool(name) {
		return
	}
	if !d.rules.allowsPlugin(name) && !d.rules.allowsPlugin(name[len(serverTool):]) {
		d.broken.add(tool.at("type"), "is %s, a server tool, which is not allowed; allowed are %s",
			quote(name), quoteAll(d.rules.Plugins))
	}
}

const serverTool = "openrouter:" // the types of server tools begin with it

func isServerTool(name string) bool {
	return len(name) >= len(serverTool) && strings.EqualFold(name[:len(serverTool)], serverTool)
}
