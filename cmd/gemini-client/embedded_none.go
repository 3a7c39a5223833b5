//go:build noembedded

package main

import (
	"fmt"

	"gemini-client/service/config"
)

// embedded is a nats-server that this build leaves out: it would be a tenth of the memory
// of an idle worker, and code that a worker beside a server of its own never runs.
type embedded struct{ url string }

func startEmbedded(config.NATS) (*embedded, error) {
	return nil, fmt.Errorf("%w: NATS_EMBEDDED: this build, which the image has, is without a NATS server (-tags noembedded): run nats-server beside it and set NATS_URL", config.ErrInvalid)
}

func (*embedded) stop() {}
