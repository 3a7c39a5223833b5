package upstream

import (
	"context"
	"errors"
	"net/http"
	"time"

	"gemini-client/service/openrouter"
)

// pingTimeout bounds the question whether OpenRouter is there, and is how long its
// answer holds.
const pingTimeout = 5 * time.Second

// diagnose decides whom a failure is about: a model, or OpenRouter as a whole. It is
// the model's
//
//   - if a provider caused it;
//   - if another model has answered in the last 30 s and not failed since;
//   - if the answer did not come in time, though OpenRouter is there: it sent the
//     headers of this answer, or something to another call meanwhile, or it answers
//     a question for its catalogue, which costs nothing.
//
// Everything else that breaks is OpenRouter's: with one model in use an outage stops
// the intake, and with several a sick one does not.
func (u *Caller) diagnose(ctx context.Context, c *call, e *Error) {
	model := c.request.Model
	switch e.health {
	case healthGood:
		u.hear()
	case healthBad, healthSlow:
		switch {
		case u.models.othersAnswer(model), e.health == healthSlow && u.isThere(ctx, c, e):
			e.health = healthModel
		default:
			e.health = healthBad
		}
		u.models.hasFailed(model)
	case healthModel:
		u.hear()
		u.models.hasFailed(model)
	case healthUnknown:
	}
}

// hear notes a sign of life of OpenRouter.
func (u *Caller) hear() { u.heard.Store(time.Now().UnixNano()) }

// isThere reports whether OpenRouter gave a sign of life while a call waited in
// vain.
func (u *Caller) isThere(ctx context.Context, c *call, e *Error) bool {
	since := c.began
	switch e.kind { //nolint:exhaustive // the others waited from the beginning on
	case kindFirstToken:
		if e.usage.GenerationID != "" { // of the headers
			return true
		}
	case kindGap:
		since = time.Now().Add(-u.config.TokenGapTimeout)
	}
	return u.heard.Load() > since.UnixNano() || u.ping(ctx, c.lease.key.secret)
}

// ping asks OpenRouter for the catalogue's entry of the default model, once for all
// calls that want to know.
func (u *Caller) ping(ctx context.Context, key string) bool {
	ctx, cancel := context.WithTimeout(ctx, pingTimeout)
	defer cancel()
	select {
	case u.pinging <- struct{}{}:
		defer func() { <-u.pinging }()
	case <-ctx.Done():
		return false
	}
	if now := time.Now(); now.Sub(u.pinged) >= pingTimeout {
		_, err := u.client.Model(ctx, key, u.model)
		var api *openrouter.Error
		u.pinged = time.Now()
		u.pingAnswered = err == nil || errors.As(err, &api) && api.Status != 0 && api.Status < http.StatusInternalServerError && !api.Edge
		if u.pingAnswered {
			u.hear()
		}
	}
	return u.pingAnswered
}
