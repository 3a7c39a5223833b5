package service

import (
	"context"
	"io"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/config"
	"gemini-client/service/upstream"
	"gemini-client/telemetry"
)

// cheapBus admits everything, and makes of a result what NATS would store.
type cheapBus struct{ fakeBus }

func (*cheapBus) Admit(context.Context, ...bus.Ask) []bus.Admission {
	return []bus.Admission{{State: bus.Admitted, Starts: 1}}
}

func (*cheapBus) Settle(_ context.Context, d *bus.Delivery, end bus.End) (bus.Settled, error) {
	body, err := end.Result.Encode()
	if err != nil || len(body) == 0 {
		return bus.Settled{}, err
	}
	events.ResultHeader(*end.Result, events.MessageID(anID, anID), "/gemini-client/gemini.requests", d.Taken)
	return bus.Settled{Stored: true}, nil
}

// BenchmarkHandle is a delivery from its bytes to its result, without NATS and without
// the call.
func BenchmarkHandle(b *testing.B) {
	c, _, err := config.Load("", "")
	if err != nil {
		b.Fatal(err)
	}
	tel, err := telemetry.Setup(b.Context(), telemetry.Config{LogFormat: "json", Output: io.Discard})
	if err != nil {
		b.Fatal(err)
	}
	h := &handler{rules: c.Rules(0), decode: events.Rules.Decode, queue: c.Queue, maxCrashLoops: 3, bus: &cheapBus{}, inFlight: newInFlight(), tel: tel}
	h.upstream = fakeUpstream(func(context.Context, events.Request) upstream.Reply {
		return upstream.Reply{
			Answer: &upstream.Answer{Content: "hello", Model: "google/gemini-2.5-flash", FinishReason: "stop"}, Attempts: 1,
			Usage: upstream.Usage{Bill: events.Bill{Usage: &events.Usage{PromptTokens: 3, CompletionTokens: 4}, Cost: new(0.5)}, GenerationID: "gen-1", Provider: "Google", FinishReason: "stop"},
		}
	})
	body := delivery("").Body
	b.ReportAllocs()
	for b.Loop() {
		h.deliver(context.Background(), &bus.Delivery{Body: body, Queue: "gemini.requests", Stream: "GEMINI_REQUESTS", Sequence: 1, Deliveries: 1, Taken: time.Now()})
	}
}
