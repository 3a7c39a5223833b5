package bus

import (
	"context"
	"errors"
	"strconv"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// Depth is how full a queue is, as its consumer sees it.
type Depth struct {
	Waiting     uint64     // messages that were not delivered yet
	InFlight    uint64     // delivered and not settled
	PausedUntil *time.Time // by a person; nil if it is not paused
	Delivered   uint64     // sequence of the last message that was delivered
}

// Depth asks how full the queue of a stream is. Errors: those of [Conn.Do], and
// jetstream.ErrConsumerNotFound.
func (c *Conn) Depth(ctx context.Context, stream string) (Depth, error) {
	return c.DepthOf(ctx, stream, Durable)
}

// DepthOf is Depth of one of several queues. Errors: as Depth.
func (c *Conn) DepthOf(ctx context.Context, stream, consumer string) (Depth, error) {
	var info jetstream.ConsumerInfo
	if err := c.ask(ctx, "CONSUMER.INFO."+stream+"."+consumer, nil, &info); err != nil {
		return Depth{}, err
	}
	return depthOf(info), nil
}

// Depths asks how full all queues of a stream are, and returns it by the names of their
// consumers. Errors: those of [Conn.Do], jetstream.ErrStreamNotFound.
func (c *Conn) Depths(ctx context.Context, stream string) (map[string]Depth, error) {
	all := map[string]Depth{}
	for offset := 0; ; {
		var page struct {
			Total     int                      `json:"total"`
			Consumers []jetstream.ConsumerInfo `json:"consumers"`
		}
		if err := c.ask(ctx, "CONSUMER.LIST."+stream, map[string]any{"offset": offset}, &page); err != nil {
			return nil, err
		}
		for _, info := range page.Consumers {
			all[info.Name] = depthOf(info)
		}
		if offset += len(page.Consumers); len(page.Consumers) == 0 || offset >= page.Total {
			return all, nil
		}
	}
}

func depthOf(info jetstream.ConsumerInfo) Depth {
	d := Depth{Waiting: info.NumPending, InFlight: uint64(max(0, info.NumAckPending)), Delivered: info.Delivered.Stream}
	if info.Paused {
		d.PausedUntil = info.Config.PauseUntil
	}
	return d
}

// OldestWaiting asks when the oldest message that waits in a queue was stored:
// the zero time if none waits any more. Errors: those of [Conn.Do].
func (c *Conn) OldestWaiting(ctx context.Context, stream, subject string, d Depth) (time.Time, error) {
	if d.Waiting == 0 {
		return time.Time{}, nil
	}
	var found struct {
		Message struct {
			Time time.Time `json:"time"`
		} `json:"message"`
	}
	err := c.ask(ctx, nextMessage(stream), map[string]any{"seq": d.Delivered + 1, "next_by_subj": subject}, &found)
	if errors.Is(err, errNoMessage) {
		err = nil // it has just been taken
	}
	return found.Message.Time, err
}

// stream asks how full a stream is.
func (c *Conn) stream(ctx context.Context, stream string) (info jetstream.StreamInfo, err error) {
	err = c.ask(ctx, streamInfo(stream), nil, &info)
	return info, err
}

// Scheduled returns how many of a stream's messages are schedules: those that
// are not its queue's.
func (d Depth) Scheduled(messages uint64) uint64 {
	return messages - min(messages, d.Waiting+d.InFlight)
}

// The questions to JetStream's API.
func consumerInfo(stream string) string { return "CONSUMER.INFO." + stream + "." + Durable }
func nextMessage(stream string) string  { return "STREAM.MSG.GET." + stream }
func streamInfo(stream string) string   { return "STREAM.INFO." + stream }

// ask makes one request to JetStream's API under [Conn.Do].
func (c *Conn) ask(ctx context.Context, question string, body, answer any) error {
	return c.Do(ctx, strconv.Quote(c.api(question)), func(ctx context.Context) error {
		return c.request(ctx, question, body, answer)
	})
}
