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
		Model: r.Model, Models: modelList(r, fallbacks),
		System: r.SystemInstruction, Prompt: r.Prompt, Messages: r.Messages, // first, before a message list as well
		MaxTokens: r.Parameters.MaxOutputTokens, Temperature: &r.Parameters.Temperature, TopP: &r.Parameters.TopP,
		TopK: topK(r), Stop: r.Parameters.StopSequences, Extra: extra(r),
	}
}

// modelList is the request's own fallback list, else the service's.
func modelList(r events.Request, fallbacks []string) []string {
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
