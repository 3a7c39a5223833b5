package upstream

import (
	"encoding/json"
	"maps"
	"slices"

	"gemini-client/events"
	"gemini-client/service/openrouter"
)

// chatRequest turns a request event into OpenRouter's request, which shares its memory.
func chatRequest(r *events.Request, fallbacks []string) openrouter.Request {
	return openrouter.Request{
		Model: r.Model, Models: modelList(r, fallbacks),
		System: r.SystemInstruction, Prompt: r.Prompt, Messages: r.Messages, // first, before a message list as well
		MaxTokens: r.Parameters.MaxOutputTokens, Temperature: &r.Parameters.Temperature, TopP: &r.Parameters.TopP,
		TopK: topK(r), Stop: r.Parameters.StopSequences, Extra: extra(r),
	}
}

// modelList is the list of models that is sent: the request's own, else the service's.
// The request's own may be empty: then no other model may answer. An empty list is not
// sent: OpenRouter would find no model in it.
func modelList(r *events.Request, fallbacks []string) []string {
	if raw, ok := r.OpenRouter["models"]; ok {
		var own []string
		if json.Unmarshal(raw, &own) == nil && own != nil {
			return own
		}
	}
	if len(fallbacks) == 0 {
		return nil
	}
	list := []string{r.Model}
	for _, model := range fallbacks {
		if !slices.Contains(list, model) {
			list = append(list, model)
		}
	}
	if len(list) == 1 {
		return nil
	}
	return list
}

// topK leaves the default out when the request insists on providers that know
// every parameter: no Gemini endpoint lists top_k, so all would be excluded.
func topK(r *events.Request) *int {
	if r.Parameters.TopK == events.DefaultTopK && requiresParameters(r.OpenRouter) {
		return nil
	}
	return &r.Parameters.TopK
}

func requiresParameters(extra map[string]json.RawMessage) bool {
	raw, ok := extra["provider"]
	if !ok {
		return false
	}
	var provider struct {
		Require bool `json:"require_parameters"`
	}
	return json.Unmarshal(raw, &provider) == nil && provider.Require
}

// extra is what is passed on as it is. The models are in the request's own list.
func extra(r *events.Request) map[string]json.RawMessage {
	rest := maps.Clone(r.OpenRouter)
	delete(rest, "models")
	return rest
}
