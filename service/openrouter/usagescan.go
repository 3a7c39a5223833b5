package openrouter

// scan reads a usage of the kinds that OpenRouter sends.
func (w *wireUsage) scan(data []byte) bool {
	s := scanner{data: data}
	ok := s.object(func(key []byte) (field, bool) {
		switch string(key) {
		case "prompt_tokens":
			return 1, s.count(&w.PromptTokens)
		case "completion_tokens":
			return 2, s.count(&w.CompletionTokens)
		case "total_tokens":
			return 4, s.count(&w.TotalTokens)
		case "cost":
			return 8, s.number(&w.Cost)
		case "cost_details":
			return 16, s.null() || s.costs(w)
		case "prompt_tokens_details":
			return 32, s.null() || s.object(func(key []byte) (field, bool) {
				switch string(key) {
				case "cached_tokens":
					return 1, s.countOrNil(&w.Prompt.Cached)
				case "audio_tokens":
					return 2, s.countOrNil(&w.Prompt.Audio)
				}
				return 0, s.skip()
			})
		case "completion_tokens_details":
			return 64, s.null() || s.object(func(key []byte) (field, bool) {
				if string(key) == "reasoning_tokens" {
					return 1, s.countOrNil(&w.Completion.Reasoning)
				}
				return 0, s.skip()
			})
		}
		return 0, s.skip()
	})
	s.space()
	return ok && s.at == len(data)
}

func (s *scanner) costs(w *wireUsage) bool {
	w.Details = &CostDetails{}
	return s.object(func(key []byte) (field, bool) {
		switch string(key) {
		case "upstream_inference_cost":
			return 1, s.number(&w.Details.Upstream)
		case "upstream_inference_prompt_cost":
			return 2, s.number(&w.Details.UpstreamPrompt)
		case "upstream_inference_completions_cost":
			return 4, s.number(&w.Details.UpstreamCompletions)
		}
		return 0, s.skip()
	})
}
