package upstream

import (
	"encoding/json"
	"maps"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// chatRequest turns a request event into OpenRouter's request.
func chatRequest(r events.Request, fallbacks []string) openrouter.Request {
	return openrouter.Request{
		Model: r.Model, Models: models(r, fallbacks), Messages: messages(r),
		MaxTokens: r.Parameters.MaxOutputTokens, Temperature: &r.Parameters.Temperature, TopP: &r.Parameters.TopP,
		TopK: topK(r), Stop: r.Parameters.StopSequences, Extra: extra(r),
	}
}

// models is the request's own fallback list, else the service's.
func models(r events.Request, fallbacks []string) []string {
	if _, own := r.OpenRouter["models"]; own || len(fallbacks) == 0 {
		return nil // its own travels in Extra
	}
	list := []string{r.Model}
	for _, model := range fallbacks {
		if model = events.ModelName(model); model != r.Model {
			list = append(list, model)
		}
	}
	return list
}

// messages puts the system instruction first, before a message list as well.
func messages(r events.Request) json.RawMessage {
	var list []openrouter.Message
	if r.SystemInstruction != "" {
		list = append(list, openrouter.Message{Role: "system", Content: r.SystemInstruction})
	}
	if r.Messages == nil {
		return openrouter.Messages(append(list, openrouter.Message{Role: "user", Content: r.Prompt})...)
	}
	if len(list) == 0 {
		return r.Messages
	}
	var rest []json.RawMessage
	if err := json.Unmarshal(r.Messages, &rest); err != nil {
		return r.Messages // the decoder has checked that it is a list
	}
	system := openrouter.Messages(list...) // [{...}]
	joined := append([]json.RawMessage{system[1 : len(system)-1]}, rest...)
	encoded, err := json.Marshal(joined)
	if err != nil {
		return r.Messages
	}
	return encoded
}

// topK leaves the default out when the request insists on providers that know
// every parameter: no Gemini endpoint lists top_k, so all would be excluded.
func topK(r events.Request) *int {
	k := r.Parameters.TopK
	if k == events.DefaultTopK && requiresParameters(r) {
		return nil
	}
	return &k
}

func requiresParameters(r events.Request) bool {
	var provider struct {
		Require bool `json:"require_parameters"`
	}
	raw, ok := r.OpenRouter["provider"]
	return ok && json.Unmarshal(raw, &provider) == nil && provider.Require
}

func extra(r events.Request) map[string]json.RawMessage { return maps.Clone(r.OpenRouter) }
