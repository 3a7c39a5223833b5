package bus

import (
	"context"
	"errors"

	"github.com/nats-io/nats.go/jetstream"
)

// consumersMost is how many consumers a stream may have once that is said of it: two for
// each tenant, and some more.
const consumersMost = 2*tenantsMost + 100

// jsErrConsumersMost is JetStream's code for a stream that has as many consumers as it may.
const jsErrConsumersMost = 10026

// makeConsumer makes a consumer. A server of 2.15 allows a stream a thousand, as many as
// 499 tenants have, unless the stream says how many. It is said when they are needed, and
// not before: an account's own limit refuses a stream that says more than it allows.
func makeConsumer(ctx context.Context, js jetstream.JetStream, stream string, do func() (jetstream.Consumer, error)) (jetstream.Consumer, error) {
	made, err := do()
	if api := new(jetstream.APIError); !errors.As(err, &api) || api.ErrorCode != jsErrConsumersMost {
		return made, err
	}
	found, failed := js.Stream(ctx, stream)
	if failed != nil {
		return nil, errors.Join(err, failed)
	}
	c := found.CachedInfo().Config
	if c.MaxConsumers > 0 { // somebody's own limit
		return nil, err
	}
	c.MaxConsumers = consumersMost
	if _, failed := js.UpdateStream(ctx, c); failed != nil {
		return nil, errors.Join(err, failed)
	}
	return do()
}
