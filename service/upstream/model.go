package upstream

import (
	"context"
	"errors"
	"net/http"
	"time"

	"gemini-client/service/openrouter"
)

// modelCheckTimeout bounds the look at the catalogue.
const modelCheckTimeout = 10 * time.Second

// checkModel warns of a default model that OpenRouter does not list or is about
// to drop. It is a courtesy at start: what it cannot find out it does not say.
func (u *Caller) checkModel(ctx context.Context) {
	ctx, cancel := context.WithTimeout(ctx, modelCheckTimeout)
	defer cancel()
	const wayOut = "set OPENROUTER_MODEL to another model, or OPENROUTER_FALLBACK_MODELS to models that may answer instead"
	info, err := u.client.Model(ctx, u.keys.secrets()[0], u.model)
	var api *openrouter.Error
	switch {
	case errors.As(err, &api) && api.Status == http.StatusNotFound:
		u.tel.Logger.WarnContext(ctx, "OpenRouter does not know the model", "model", u.model, "way_out", wayOut)
	case err != nil:
		u.tel.Logger.DebugContext(ctx, "the model was not checked", "model", u.model, "error", err)
	case info.ExpirationDate != "":
		u.tel.Logger.WarnContext(ctx, "OpenRouter will stop offering the model", "model", u.model, "on", info.ExpirationDate, "way_out", wayOut)
	}
}
