package bus

import (
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"

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
