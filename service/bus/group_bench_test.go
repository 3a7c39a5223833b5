package bus

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// BenchmarkGroupCommit stores a claim and then a result, as 256 slots do, on a server
// that flushes each message to the disk or none: one by one and together. What is
// reported is pairs a second.
func BenchmarkGroupCommit(b *testing.B) {
	for _, flushes := range []bool{true, false} {
		for _, together := range []bool{false, true} {
			b.Run(fmt.Sprintf("flushes=%v/together=%v", flushes, together), func(b *testing.B) {
				n := servicetest.RunNATS(b, func(o *server.Options) { o.SyncAlways = flushes })
				bench := setupOn(b, n, func(c *config.Config) { c.GroupCommit = together })
				s := bench.streams()
				store := func(m *nats.Msg) {
					if _, err := s.publisher.store(b.Context(), m); err != nil {
						b.Error(err)
					}
				}
				b.ReportAllocs()
				b.SetParallelism(inFlight / 2)
				b.RunParallel(func(pb *testing.PB) {
					for pb.Next() {
						id := servicetest.NewID()
						store(bench.claimOf(id, expectLast(0), withTTL(time.Minute)))
						store(bench.resultOf(id))
					}
				})
				b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "pairs/s")
			})
		}
	}
}

// BenchmarkAcknowledge acknowledges what a work queue has delivered, and nothing else, on
// a server that flushes each change to the disk or none. It is the most that any worker
// does there: the server removes one message after the other, and flushes each removal.
func BenchmarkAcknowledge(b *testing.B) {
	for _, flushes := range []bool{true, false} {
		b.Run(fmt.Sprintf("flushes=%v", flushes), func(b *testing.B) {
			n := servicetest.RunNATS(b, func(o *server.Options) { o.SyncAlways = flushes })
			delivered := deliver(b, n, b.N)
			b.ReportAllocs()
			b.ResetTimer()
			for _, m := range delivered[:b.N-1] {
				if err := m.Ack(); err != nil {
					b.Fatal(err)
				}
			}
			if err := delivered[b.N-1].DoubleAck(b.Context()); err != nil { // one goroutine of the server takes them in turn
				b.Fatal(err)
			}
			b.ReportMetric(float64(b.N)/b.Elapsed().Seconds(), "acks/s")
		})
	}
}

// deliver puts messages into a work queue and takes them out.
func deliver(b *testing.B, n *servicetest.NATS, messages int) (delivered []jetstream.Msg) {
	b.Helper()
	js := n.JetStream()
	queue, err := js.CreateStream(b.Context(), jetstream.StreamConfig{Name: "QUEUE", Subjects: []string{"queue"}, Retention: jetstream.WorkQueuePolicy})
	if err != nil {
		b.Fatal(err)
	}
	for range messages {
		if _, err := js.PublishAsync("queue", make([]byte, 500)); err != nil {
			b.Fatal(err)
		}
	}
	<-js.PublishAsyncComplete()
	consumer, err := queue.CreateConsumer(b.Context(), jetstream.ConsumerConfig{AckPolicy: jetstream.AckExplicitPolicy, MaxAckPending: -1})
	if err != nil {
		b.Fatal(err)
	}
	for len(delivered) < messages {
		batch, err := consumer.Fetch(messages - len(delivered))
		if err != nil {
			b.Fatal(err)
		}
		for m := range batch.Messages() {
			delivered = append(delivered, m)
		}
	}
	return delivered
}
