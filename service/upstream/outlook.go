package upstream

import (
	"context"
	"fmt"
	"strings"
	"time"

	"gemini-client/service/config"
	"gemini-client/service/openrouter"
)

// Outlook asks OpenRouter's catalogue for the models of a configuration and returns a
// line about each: when it expires, or why that is not known. It ends with ctx.
func Outlook(ctx context.Context, c config.Config) []string {
	var client *openrouter.Client
	err := c.RequireKeys()
	if err == nil {
		client, _, err = newClient(c, nil)
	}
	models := newCatalogue(client, nil, append([]string{c.Model}, c.Fallbacks()...)...).models
	var lines []string
	for _, model := range models {
		line := model + ": not looked up: there is no API key, or the settings are not valid"
		if err == nil {
			line = outlook(ctx, client, c.APIKeys[0], model)
		}
		lines = append(lines, line)
	}
	if client != nil {
		client.CloseIdleConnections()
	}
	return lines
}

// outlook is the line about one model.
func outlook(ctx context.Context, client *openrouter.Client, key, model string) string {
	entry, err := (&catalogue{client: client}).look(ctx, key, model)
	switch {
	case err != nil:
		return fmt.Sprintf("%s: not known, OpenRouter could not be asked (%s)", model, strings.TrimPrefix(err.Error(), "openrouter: "))
	case entry.missing:
		return model + ": OpenRouter does not know the model"
	case entry.date == "":
		return model + ": no expiration date"
	case entry.expires.IsZero():
		return model + " expires on " + entry.date
	}
	return ModelExpiry{Model: model, Date: entry.date, At: entry.expires}.Text(time.Now())
}
