package service

import (
	"context"
	"errors"
	"net/http"
	"time"

	"gemini-client/service/openrouter"
)

// modelCheckTime bounds the look at the catalogue.
const modelCheckTime = 10 * time.Second

// checkModel warns of a model that OpenRouter does not list or is about to
// drop. It is a courtesy at start: what it cannot find out it does not say.
func (s *Service) checkModel(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, modelCheckTime)
	defer cancel()
	model := s.config.Rules(0).DefaultModel
	const wayOut = "set OPENROUTER_MODEL to another model, or OPENROUTER_FALLBACK_MODELS to models that may answer instead"
	info, err := s.client.Model(ctx, s.config.APIKeys[0], model)
	var api *openrouter.Error
	switch {
	case errors.As(err, &api) && api.Status == http.StatusNotFound:
		s.tel.Logger.WarnContext(ctx, "OpenRouter does not know the model", "model", model, "way_out", wayOut)
	case err != nil:
		s.tel.Logger.DebugContext(ctx, "the model was not checked", "model", model, "error", err)
	case info.ExpirationDate != "":
		s.tel.Logger.WarnContext(ctx, "OpenRouter will stop offering the model", "model", model, "on", info.ExpirationDate, "way_out", wayOut)
	}
}
