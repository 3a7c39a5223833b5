package simulator

import (
	"net/http"
	"path"
	"strings"
)

// newerGemini reports whether a model is of Gemini 3.5 or newer, by its own name: those refuse what older ones take.
func newerGemini(model string) bool {
	newer, _ := path.Match("google/gemini-3.[5-9]*", model)
	return newer
}

// refusedBy returns the answer of a model that does not take the body; nil if it does.
func (c chatRequest) refusedBy(model string) func(*exchange, args) reply {
	if strings.HasSuffix(model, ":batch") {
		return forBatchesAlone()
	}
	if !newerGemini(model) {
		return nil
	}
	last := c.Messages[len(c.Messages)-1]
	switch {
	case c.Reasoning != nil && c.Reasoning.Effort == "none", c.Reasoning != nil && c.Reasoning.Enabled != nil && !*c.Reasoning.Enabled:
		return refused{
			http.StatusBadRequest, "invalid_request", "Reasoning is mandatory for this endpoint and cannot be disabled.",
		}.fault(nil)
	case custom(c.FrequencyPenalty), custom(c.PresencePenalty):
		return invalidArgument("Penalty is not enabled for this model")
	case last.Role == "assistant":
		return invalidArgument("Please ensure that the conversation does not end with a model turn.")
	}
	for _, m := range c.Messages {
		if m.Role == "tool" && (m.Name == "" || m.ToolCallID == "") {
			return invalidArgument("A function response needs the id and the name of its function call.")
		}
	}
	return nil
}

// custom reports whether a penalty is given that is not the default.
func custom(penalty any) bool { return penalty != nil && penalty != 0.0 }

// invalidArgument is a refusal of Google's, relayed.
func invalidArgument(message string) func(*exchange, args) reply {
	return relayed(http.StatusBadRequest, encode(map[string]any{
		"error": map[string]any{"code": http.StatusBadRequest, "message": message, "status": "INVALID_ARGUMENT"},
	}), nil)
}
