package bus

import (
	"context"
	"fmt"
	"regexp"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
)

// readerPending is how many results a reader may have taken and not yet
// acknowledged: enough for a busy backend, and a bound for a stuck one.
const readerPending = 1000

var readerName = regexp.MustCompile(`^[A-Za-z0-9_-]{1,64}$`)

// Reader returns a durable pull consumer of the results on a callback (empty =
// RESPONSE_QUEUE), for a backend that must not miss a result and may create no
// consumers itself. It reads that callback alone: of RESPONSE_QUEUE not what isolated
// tenants are answered below it. The error is a config.ErrInvalid that says what is allowed.
func Reader(c config.Config, name, callback string) (QueueConsumer, error) {
	if !readerName.MatchString(name) {
		return QueueConsumer{}, fmt.Errorf("%w: reader %q: want 1 to 64 letters, digits, - and _", config.ErrInvalid, name)
	}
	if callback == "" {
		callback = c.ResponseQueue
	}
	n := c.Names()
	tenant := n.IsolatedBy(callback)
	if own := events.ValidTenant(tenant) && callback == n.Of(tenant).ResponseQueue; !own && !slices.Contains(c.Callbacks(), callback) {
		return QueueConsumer{}, fmt.Errorf("%w: reader %s: %q is not a callback: want one of %s (CALLBACK_ALLOW), or %s.<tenant> for an isolated tenant", config.ErrInvalid, name, callback, strings.Join(c.Callbacks(), ", "), c.ResponseQueue)
	}
	return QueueConsumer{Stream: n.ResponsesStream(), Config: jetstream.ConsumerConfig{
		Durable: name, Description: "results for a backend", FilterSubject: callback + ".*.*",
		AckPolicy: jetstream.AckExplicitPolicy, AckWait: 30 * time.Second, MaxDeliver: -1, MaxAckPending: readerPending,
	}}, nil
}

// ProvisionReader creates a reader that is missing and returns the configuration
// in force. What exists is changed only with update: it may be the backend's own
// choice, and harms nobody else.
func ProvisionReader(ctx context.Context, js jetstream.JetStream, want QueueConsumer, update bool) (jetstream.ConsumerConfig, error) {
	if !update {
		return ensureConsumer(ctx, js, want, true)
	}
	consumer, err := js.CreateOrUpdateConsumer(ctx, want.Stream, want.Config)
	if err != nil {
		return want.Config, fmt.Errorf("reader %s of %s: %w", want.Config.Durable, want.Stream, err)
	}
	return consumer.CachedInfo().Config, nil
}
