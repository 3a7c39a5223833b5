package bus

import (
	"context"
	"encoding/json"

	"github.com/nats-io/nats.go"
)

// answerStatus answers everybody who asks on Names.Status with status's JSON,
// until stop is called: on core NATS, for people on call. Every process answers
// for itself.
func (b *Bus) answerStatus(ctx context.Context, status func() any) (stop func(), err error) {
	answer := func(m *nats.Msg) {
		body, err := json.Marshal(status())
		if err == nil && m.Reply != "" {
			err = m.Respond(body)
		}
		if err != nil {
			b.tel.Logger.DebugContext(ctx, "a question for the status was not answered", "error", err)
		}
	}
	subscription, err := b.conn.Subscribe(b.names.Status(), answer)
	if err != nil {
		return nil, err
	}
	return func() { _ = subscription.Unsubscribe() }, nil
}
