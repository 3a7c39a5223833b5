package simulator

import (
	"net/http"
	"slices"
	"strings"
)

// providerName is the provider of every answer.
const providerName = "simulator"

// datedSuffix marks the canonical name of models whose request name is an alias.
const datedSuffix = "-20260721"

// price is in USD per million tokens.
type price struct {
	prompt, cached, completion float64
}

// modelEntry is a model of the catalogue.
type modelEntry struct {
	id, canonical string
	created       int64
	price         price
}

// knownModels are the models whose prices are known. Every other one costs what gemini-2.5-flash costs.
func knownModels() []modelEntry {
	return []modelEntry{
		{"google/gemini-2.5-flash", "google/gemini-2.5-flash", 1750172488, price{0.30, 0.03, 2.50}},
		{"google/gemini-3.5-flash-lite", "google/gemini-3.5-flash-lite-20260721", 1784592000, price{0.30, 0.03, 2.50}},
		{
			"google/gemini-3.1-flash-lite-preview", "google/gemini-3.1-flash-lite-preview-20260303",
			1772496000,
			price{0.25, 0.025, 1.50},
		},
		{"google/gemini-3.1-flash-lite", "google/gemini-3.1-flash-lite", 1776000000, price{0.25, 0.025, 1.50}},
		{"google/gemini-2.5-flash-lite", "google/gemini-2.5-flash-lite", 1753200000, price{0.10, 0.01, 0.40}},
	}
}

// lookUp returns the catalogue's entry for a model as it was asked for. Unknown models and aliases (~google/...) get a
// dated canonical name; a :free variant costs nothing.
func lookUp(asked string) modelEntry {
	base, variant, _ := strings.Cut(asked, ":")
	known := knownModels()
	i := slices.IndexFunc(known, func(m modelEntry) bool { return m.id == base || m.canonical == base })
	entry := known[0]
	if i >= 0 {
		entry = known[i]
	} else {
		entry.id, entry.canonical = base, strings.TrimPrefix(base, "~")+datedSuffix
	}
	if variant == "free" {
		entry.id += ":free"
		entry.canonical += ":free"
		entry.price = price{}
	}
	return entry
}

// knownAuthor reports whether the model has the form author/slug and the author publishes models.
func knownAuthor(model string) bool {
	author, slug, _ := strings.Cut(strings.TrimPrefix(model, "~"), "/")
	authors := []string{
		"google", "openai", "anthropic", "meta-llama", "mistralai", "deepseek", "qwen", "x-ai", "cohere", "openrouter",
	}
	return slug != "" && !strings.HasPrefix(slug, ":") && slices.Contains(authors, author)
}

// modelView is a model in the answers of /model and /models; prices are USD per token, as strings.
type modelView struct {
	ID                  string            `json:"id"`
	CanonicalSlug       string            `json:"canonical_slug"`
	Name                string            `json:"name"`
	Created             int64             `json:"created"`
	Description         string            `json:"description"`
	ContextLength       int               `json:"context_length"`
	Architecture        map[string]any    `json:"architecture"`
	Pricing             map[string]string `json:"pricing"`
	TopProvider         map[string]any    `json:"top_provider"`
	PerRequestLimits    any               `json:"per_request_limits"`
	SupportedParameters []string          `json:"supported_parameters"`
	DefaultParameters   any               `json:"default_parameters"`
	ExpirationDate      *string           `json:"expiration_date"`
	Links               map[string]string `json:"links"`
}

// view returns the catalogue's entry as OpenRouter shows it.
func (s *Simulator) view(m modelEntry) modelView {
	v := modelView{
		ID: m.id, CanonicalSlug: m.canonical, Name: "Simulated " + m.id, Created: m.created,
		Description: "A simulator answers for this model.", ContextLength: 1048576,
		Architecture: map[string]any{
			"modality": "text+image+file+audio+video->text", "tokenizer": "Gemini", "instruct_type": nil,
			"input_modalities":  []string{"text", "image", "file", "audio", "video"},
			"output_modalities": []string{"text"},
		},
		Pricing: map[string]string{
			"prompt": perToken(m.price.prompt), "completion": perToken(m.price.completion),
			"internal_reasoning": perToken(m.price.completion), "input_cache_read": perToken(m.price.cached),
		},
		TopProvider: map[string]any{
			"context_length": 1048576, "max_completion_tokens": 65535, "is_moderated": false,
		},
		SupportedParameters: []string{
			"include_reasoning", "max_tokens", "reasoning", "response_format", "seed", "stop", "structured_outputs",
			"temperature", "tool_choice", "tools", "top_p",
		},
		Links: map[string]string{"details": "/api/v1/models/" + m.id + "/endpoints"},
	}
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	if date, expires := s.control.expirations[m.id]; expires {
		v.ExpirationDate = &date
	}
	return v
}

// SetExpiration changes the expiration_date that a model's catalogue entry shows; an empty one removes it.
func (s *Simulator) SetExpiration(id, date string) {
	s.control.mu.Lock()
	defer s.control.mu.Unlock()
	if s.control.expirations[id] = date; date == "" {
		delete(s.control.expirations, id)
	}
}

// model serves /model/{author}/{slug}: 404 unless the author is known.
func (s *Simulator) model(w http.ResponseWriter, r *http.Request) {
	asked := r.PathValue("author") + "/" + r.PathValue("slug")
	if !knownAuthor(asked) || s.retirement(asked) == RetiredUnknown {
		sendError(w, http.StatusNotFound, "Resource not found")
		return
	}
	send(w, http.StatusOK, map[string]any{"data": s.view(lookUp(asked))})
}

// models serves /models: the models whose prices are known.
func (s *Simulator) models(w http.ResponseWriter, _ *http.Request) {
	views := []modelView{}
	for _, m := range knownModels() {
		if s.retirement(m.id) == RetiredUnknown {
			continue
		}
		views = append(views, s.view(m))
	}
	send(w, http.StatusOK, map[string]any{
		"data": views, "total_count": len(views), "links": map[string]any{"next": nil},
	})
}
