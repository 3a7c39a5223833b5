package simulator

import (
	"bytes"
	"encoding/json"
	"slices"
	"strings"
)

// batchBody is the part of an item's body that batches have rules for, beside those of every chat request.
type batchBody struct {
	Model      string            `json:"model"`
	Models     []string          `json:"models"`
	Stream     bool              `json:"stream"`
	Plugins    []json.RawMessage `json:"plugins"`
	WebSearch  json.RawMessage   `json:"web_search_options"`
	Modalities []string          `json:"modalities"`
	Audio      json.RawMessage   `json:"audio"`
	Format     json.RawMessage   `json:"response_format"`
	Tools      []struct {
		Type string `json:"type"`
	} `json:"tools"`
	Provider struct {
		ZDR bool `json:"zdr"`
	} `json:"provider"`
	Messages []struct {
		Content json.RawMessage `json:"content"`
	} `json:"messages"`
}

// itemProblem says what is wrong with an item, nothing if it can be run.
func itemProblem(e *exchange, model string) string {
	if e.problem != nil {
		return e.problem.message
	}
	if e.markerErr != nil {
		return "simulator: " + oneLine(e.markerErr)
	}
	var body batchBody
	if err := json.Unmarshal(e.call.Body, &body); err != nil {
		return "Invalid input: a field has the wrong type"
	}
	own := strings.TrimSuffix(body.Model, ":batch")
	switch {
	case own != "" && own != model:
		return "model: not the model of the batch"
	case len(body.Models) > 0:
		return "models: a batch has one model"
	case body.Stream:
		return "stream: not supported in batches"
	case body.searches():
		return "plugins: web search is not supported in batches"
	case len(body.Audio) > 0 && string(body.Audio) != "null", slices.Contains(body.Modalities, "audio"):
		return "modalities: audio is not supported in batches"
	case body.Provider.ZDR:
		return "provider.zdr: not supported in batches"
	}
	return body.mediaProblem()
}

func (b batchBody) searches() bool {
	for _, plugin := range b.Plugins {
		var p struct {
			ID string `json:"id"`
		}
		if json.Unmarshal(plugin, &p) == nil && p.ID == "web" {
			return true
		}
	}
	for _, t := range b.Tools {
		if t.Type == "openrouter:web_search" {
			return true
		}
	}
	return len(b.WebSearch) > 0 && string(b.WebSearch) != "null"
}

// mediaProblem says which part of a message no batch takes: anything but text and images at a public address.
func (b batchBody) mediaProblem() string {
	for _, m := range b.Messages {
		var parts []struct {
			Type  string `json:"type"`
			Image struct {
				URL string `json:"url"`
			} `json:"image_url"`
		}
		if json.Unmarshal(m.Content, &parts) != nil {
			continue // a text
		}
		for _, p := range parts {
			switch {
			case p.Type == "text":
			case p.Type != "image_url":
				return "messages: " + p.Type + " is not supported in batches"
			case !strings.HasPrefix(p.Image.URL, "https://") && !strings.HasPrefix(p.Image.URL, "http://"):
				return "messages: image_url must be a public URL in batches"
			}
		}
	}
	return ""
}

// itemFormat returns the response_format of a body in a form that can be compared.
func itemFormat(body []byte) string {
	var b batchBody
	if json.Unmarshal(body, &b) != nil || string(b.Format) == "null" {
		return ""
	}
	var compact bytes.Buffer
	_ = json.Compact(&compact, b.Format) // of what was decoded already
	return compact.String()
}
