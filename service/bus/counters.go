package bus

import (
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"
)

// headerIncrement is what JetStream adds to the counter of a message's subject (ADR-49).
const headerIncrement = "Nats-Incr"

// ErrCounted is an increment that was counted before, under the same id. What the
// counter is now is not known.
var ErrCounted = errors.New("the increment was counted already")

// Add adds to a counter that all workers share, and returns what it is then. A counter
// that is not there begins with 0. Under an id (not "") an increment counts once, as long
// as the stream remembers it, so that one of which no answer came can be repeated. It asks
// once. Errors: ErrCounted, ErrDenied, ErrNoAnswer, nats.ErrNoResponders where there is no
// such stream, *jetstream.APIError, ctx's cause.
func (b *Bus) Add(ctx context.Context, counter string, by int64, id string) (total int64, err error) {
	m := &nats.Msg{Subject: counter, Header: nats.Header{headerIncrement: {fmt.Sprintf("%+d", by)}}}
	if id != "" {
		m.Header.Set(jetstream.MsgIDHeader, id)
	}
	err = b.conn.Do(ctx, strconv.Quote(counter), func(ctx context.Context) error {
		reply, err := b.conn.RequestMsgWithContext(ctx, m)
		if err != nil {
			return err
		}
		total, err = readTotal(reply.Data)
		return err
	})
	return total, err
}

// Uncounted reports whether an error says that nothing can be counted and nothing was:
// the stream is missing, or refuses, or may not be used. What is not ready may be soon.
func Uncounted(err error) bool {
	var api *jetstream.APIError
	return errors.Is(err, nats.ErrNoResponders) || errors.Is(err, ErrDenied) || errors.Is(err, ErrTopology) || errors.As(err, &api) && api.Code != notReady
}

// notReady is the status of errors that pass.
const notReady = 503

// readTotal reads JetStream's answer to an increment. Errors: ErrCounted,
// jetstream.ErrInvalidJSAck, *jetstream.APIError.
func readTotal(data []byte) (int64, error) {
	var answer struct {
		Error     *jetstream.APIError `json:"error"`
		Duplicate bool                `json:"duplicate"`
		Value     string              `json:"val"`
	}
	if err := json.Unmarshal(data, &answer); err != nil {
		return 0, jetstream.ErrInvalidJSAck
	}
	switch {
	case answer.Error != nil:
		return 0, answer.Error
	case answer.Duplicate && answer.Value == "":
		return 0, ErrCounted
	}
	total, err := strconv.ParseInt(answer.Value, 10, 64)
	if err != nil {
		return 0, jetstream.ErrInvalidJSAck
	}
	return total, nil
}
