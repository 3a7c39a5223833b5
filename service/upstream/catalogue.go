package upstream

import (
	"context"
	"errors"
	"fmt"
	"net/http"
	"slices"
	"strings"
	"sync"
	"time"

	"gemini-client/events"
	"gemini-client/service/openrouter"
	"gemini-client/telemetry"
)

const (
	catalogueInterval = 24 * time.Hour
	catalogueRetry    = time.Hour // after a look that found nothing out
	catalogueTimeout  = 10 * time.Second
	expirySoon        = 30 * 24 * time.Hour
	expiryTimeOfDay   = 13 * time.Hour // UTC, of a date without an hour (OpenRouter, for-providers.mdx)
)

// catalogue is what OpenRouter's catalogue says of the models of the configuration: it
// is read at start and once a day. What it does not know it does not say.
type catalogue struct {
	client *openrouter.Client
	tel    *telemetry.Telemetry
	models []string                                         // as the catalogue names them, the default first
	priced func(model string, promptToken openrouter.Price) // told what a token of a prompt costs; may be nil

	mu      sync.Mutex
	entries map[string]*catalogueEntry // by these names
}

// catalogueEntry is what is known of one model.
type catalogueEntry struct {
	missing bool // the catalogue does not list it
	date    string
	expires time.Time // zero if it is not known
	warned  string    // the last day on which the log said so
}

// ModelExpiry is a model that OpenRouter has announced to take out.
type ModelExpiry struct {
	Model   string    `json:"model"`
	Date    string    `json:"date"` // as the catalogue has it
	At      time.Time `json:"at"`
	Expired bool      `json:"expired"`
}

func newCatalogue(client *openrouter.Client, tel *telemetry.Telemetry, models ...string) *catalogue {
	k := &catalogue{client: client, tel: tel, entries: map[string]*catalogueEntry{}}
	for _, model := range models {
		if name := listedName(events.ModelName(model)); name != "" && !slices.Contains(k.models, name) {
			k.models = append(k.models, name)
		}
	}
	return k
}

// listedName is a model's name in the catalogue, which lists no variants that only
// choose a provider or a plugin, and no presets; "" if it has none.
func listedName(model string) string {
	model, _, _ = strings.Cut(model, "@")
	if !strings.Contains(model, ":") {
		return model
	}
	parts := slices.DeleteFunc(strings.Split(model, ":"), func(variant string) bool {
		return variant == "nitro" || variant == "floor" || variant == "exacto" || variant == "online"
	})
	return strings.Join(parts, ":")
}

// follow reads the catalogue, and says what it says, at once and every day until ctx
// ends. key returns the API key to ask with.
func (k *catalogue) follow(ctx context.Context, key func() string) {
	for {
		next := catalogueInterval
		if !k.read(ctx, key()) {
			next = catalogueRetry
		}
		k.warn(ctx, time.Now())
		if sleep(ctx, next) != nil {
			return
		}
	}
}

// read asks for each model, and reports whether all was found out. What is not found
// out leaves what was known.
func (k *catalogue) read(ctx context.Context, key string) (complete bool) {
	complete = true
	for _, model := range k.models {
		entry, err := k.look(ctx, key, model)
		if err != nil {
			k.tel.Logger.DebugContext(ctx, "the model was not checked", "model", model, "error", err)
			complete = false
			continue
		}
		k.mu.Lock()
		if known := k.entries[model]; known != nil {
			entry.warned = known.warned
		}
		k.entries[model] = &entry
		k.mu.Unlock()
	}
	return complete
}

// look asks for one model. Errors: an *openrouter.Error.
func (k *catalogue) look(ctx context.Context, key, model string) (catalogueEntry, error) {
	ctx, cancel := context.WithTimeout(ctx, catalogueTimeout)
	defer cancel()
	info, err := k.client.Model(ctx, key, model)
	var api *openrouter.Error
	if errors.As(err, &api) && api.Status == http.StatusNotFound {
		return catalogueEntry{missing: true}, nil
	}
	if err == nil && k.priced != nil {
		k.priced(model, info.Pricing.Prompt)
	}
	return catalogueEntry{date: info.ExpirationDate, expires: expiryTime(info.ExpirationDate)}, err
}

// expiryTime reads an expiration date; zero if there is none, or none that can be read.
func expiryTime(date string) time.Time {
	if day, err := time.Parse(time.DateOnly, date); err == nil {
		return day.Add(expiryTimeOfDay)
	}
	if at, err := time.Parse(time.RFC3339, date); err == nil {
		return at.UTC()
	}
	return time.Time{}
}

// warn says once a day which models are about to go, or are gone.
func (k *catalogue) warn(ctx context.Context, now time.Time) {
	k.mu.Lock()
	defer k.mu.Unlock()
	today := now.UTC().Format(time.DateOnly)
	for _, model := range k.models {
		e := k.entries[model]
		if e == nil || e.warned == today {
			continue
		}
		wayOut := "take it out of OPENROUTER_FALLBACK_MODELS"
		if model == k.models[0] {
			wayOut = "set OPENROUTER_MODEL to another model, or OPENROUTER_FALLBACK_MODELS to models that may answer instead"
		}
		var line string
		attrs := []any{"model", model}
		switch left := e.expires.Sub(now); {
		case e.missing:
			line = "OpenRouter does not know the model"
		case e.date == "", !e.expires.IsZero() && left > expirySoon:
			continue
		case e.expires.IsZero():
			line, attrs = "OpenRouter will stop offering the model", append(attrs, "on", e.date)
		case left <= 0:
			line, attrs = "the model is past its expiration date: OpenRouter may stop offering it at any time", append(attrs, "on", e.date)
		default:
			line, attrs = "OpenRouter will stop offering the model in "+days(left), append(attrs, "on", e.date)
		}
		e.warned = today
		k.tel.Logger.WarnContext(ctx, line, append(attrs, "way_out", wayOut)...)
	}
}

// days rounds up: what is left of a day is one.
func days(left time.Duration) string {
	n := int((left + 24*time.Hour - 1) / (24 * time.Hour))
	if n == 1 {
		return "1 day"
	}
	return fmt.Sprintf("%d days", n)
}

// expired reports whether a model is known to be past its expiration date.
func (k *catalogue) expired(model string, now time.Time) bool {
	k.mu.Lock()
	defer k.mu.Unlock()
	e := k.entries[listedName(model)]
	return e != nil && !e.expires.IsZero() && !now.Before(e.expires)
}

// expiries lists the models that have an expiration date.
func (k *catalogue) expiries() []ModelExpiry {
	k.mu.Lock()
	defer k.mu.Unlock()
	var list []ModelExpiry
	for _, model := range k.models {
		if e := k.entries[model]; e != nil && !e.expires.IsZero() {
			list = append(list, ModelExpiry{Model: model, Date: e.date, At: e.expires})
		}
	}
	return list
}

// times returns when each model expires that has an expiration date.
func (k *catalogue) times() map[string]time.Time {
	times := map[string]time.Time{}
	for _, m := range k.expiries() {
		times[m.Model] = m.At
	}
	return times
}

// Text says when the model goes, seen from a time.
func (m ModelExpiry) Text(now time.Time) string {
	if left := m.At.Sub(now); left > 0 {
		return fmt.Sprintf("%s expires on %s, in %s", m.Model, m.Date, days(left))
	}
	return fmt.Sprintf("%s has expired on %s: OpenRouter may stop offering it at any time", m.Model, m.Date)
}
