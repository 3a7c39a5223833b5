package bus

import (
	"context"
	"errors"
	"fmt"
	"testing"
	"time"

	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/servicetest"
)

// inFlight is how many requests are under way at once in these benchmarks.
const inFlight = 256

// BenchmarkPublish stores claims: as nats.go does, by a publish that is waited for, and
// by one that calls back. The server is in the same process, so ns/op is that of both.
func BenchmarkPublish(b *testing.B) {
	bench := setup(b)
	s := bench.streams()
	inParallel := func(b *testing.B, publish func() error) {
		b.Helper()
		b.ReportAllocs()
		b.SetParallelism(inFlight / 2)
		b.RunParallel(func(pb *testing.PB) {
			for pb.Next() {
				if err := publish(); err != nil {
					b.Error(err)
				}
			}
		})
	}
	b.Run("nats.go", func(b *testing.B) {
		inParallel(b, func() error {
			_, err := s.conn.JetStream.PublishMsg(b.Context(), bench.claimOf(servicetest.NewID()), jetstream.WithExpectLastSequencePerSubject(0), jetstream.WithMsgTTL(time.Minute))
			return err
		})
	})
	b.Run("waiting", func(b *testing.B) {
		inParallel(b, func() error {
			_, err := s.publisher.store(b.Context(), bench.claimOf(servicetest.NewID(), expectLast(0), withTTL(time.Minute)))
			return err
		})
	})
	b.Run("calling back", func(b *testing.B) {
		b.ReportAllocs()
		free := make(chan struct{}, inFlight)
		for b.Loop() {
			free <- struct{}{}
			s.publisher.publish(bench.claimOf(servicetest.NewID(), expectLast(0), withTTL(time.Minute)), func(_ uint64, err error) {
				if err != nil {
					b.Error(err)
				}
				<-free
			})
		}
		for range inFlight {
			free <- struct{}{}
		}
	})
}

// BenchmarkLasts looks for the results of 256 requests, of which none or half are there:
// by a direct get for each, 256 at once, and by one question.
func BenchmarkLasts(b *testing.B) {
	bench := setup(b)
	s := bench.streams()
	for _, share := range []int{0, 50} {
		ids := make([]string, inFlight)
		for i := range ids {
			if ids[i] = events.AnyResult(bench.Names.ResponseQueue, servicetest.NewID()); i*share/100 != (i+1)*share/100 {
				id := servicetest.NewID()
				bench.stored(s, id, make([]byte, 1<<10))
				ids[i] = events.AnyResult(bench.Names.ResponseQueue, id)
			}
		}
		b.Run(fmt.Sprintf("%d%%/singly", share), func(b *testing.B) {
			b.ReportAllocs()
			for b.Loop() {
				one(b.Context(), b, s, ids)
			}
		})
		b.Run(fmt.Sprintf("%d%%/together", share), func(b *testing.B) {
			b.ReportAllocs()
			done := make(chan error)
			for b.Loop() {
				s.publisher.lasts(bench.Names.ResponsesStream(), ids, func(found) {}, func(err error) { done <- err })
				if err := <-done; err != nil {
					b.Fatal(err)
				}
			}
		})
	}
}

// one asks for each by itself, all at once.
func one(ctx context.Context, b *testing.B, s *streams, ids []string) {
	b.Helper()
	done := make(chan error, len(ids))
	for _, id := range ids {
		go func() {
			_, err := s.responses.GetLastMsgForSubject(ctx, id)
			done <- err
		}()
	}
	for range ids {
		if err := <-done; err != nil && !errors.Is(err, jetstream.ErrMsgNotFound) {
			b.Error(err)
		}
	}
}
