package service

import (
	"context"
	"strings"
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

// A request that makes decoding panic is answered, if its name can be read, and is
// else kept as a dead letter. Neither comes again.
func TestPanicInDecoding(t *testing.T) {
	t.Parallel()
	for name, tt := range map[string]struct {
		panics func(body string) bool
		result bool
		code   events.Code
	}{
		"of a field":       {func(body string) bool { return strings.Contains(body, "prompt") }, true, events.Internal},
		"of whatever body": {func(string) bool { return true }, false, events.InvalidRequest},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLine(t, &fakeBus{}, nil)
			decode := l.decode
			l.decode = func(rules events.Rules, body []byte, now time.Time) (events.Request, error) {
				if tt.panics(string(body)) {
					panic("boom")
				}
				return decode(rules, body, now)
			}
			l.deliver(t.Context(), delivery(`,"callback_queue":"gemini.responses"`))
			end := l.only(t)
			if end.Nack || end.DeadLetter == nil || end.DeadLetter.Code != tt.code || (end.Result != nil) != tt.result {
				t.Fatalf("got %+v", end)
			}
			if r := end.Result; r != nil && (r.RequestID != anID || *r.ErrorCode != events.Internal) {
				t.Errorf("result: %+v", r)
			}
			if lines := l.logged(t, "a request made the service panic"); len(lines) == 0 {
				t.Error("nobody was told")
			}
		})
	}
}

// A panic while a result is stored ends: with a smaller result, or, where each panics,
// as a crash loop does, whose starts are counted. Nobody pays for each start.
func TestPanicInStoring(t *testing.T) {
	t.Parallel()
	const startsCalled = 2 // from the third on it is a crash loop
	for name, tt := range map[string]struct {
		panics  func(bus.End) bool
		result  events.Code // "": none
		most    int         // deliveries
		calls   int
		strikes int
	}{
		"of the answer":               {func(e bus.End) bool { return e.Result != nil && e.Result.Status == events.StatusSuccess }, events.Internal, 1, 1, 0},
		"of every result":             {func(e bus.End) bool { return e.Result != nil }, "", 9, 5, 3},
		"of results and of schedules": {func(e bus.End) bool { return e.Result != nil || e.Schedule != nil }, "", 8, startsCalled, 0},
	} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			starts, calls := 0, 0
			l := newLine(t, &fakeBus{
				admit: func(bus.Ask) bus.Admission { return bus.Admission{State: bus.Admitted, Starts: starts} },
				settle: func(e bus.End) (bus.Settled, error) {
					if tt.panics(e) {
						panic("boom")
					}
					return bus.Settled{Stored: e.Result != nil, DeadLettered: e.DeadLetter != nil}, nil
				},
			}, func(context.Context, events.Request) upstream.Reply {
				calls++
				return upstream.Reply{Answer: &upstream.Answer{Content: "hello"}, Attempts: 1}
			})
			d, deliveries := delivery(""), 0
			var last bus.End
			for ended := false; !ended; {
				if deliveries++; deliveries > 20 {
					t.Fatal("it is delivered again for ever")
				}
				starts++
				l.deliver(t.Context(), d)
				ends := l.bus.settled()
				last = ends[len(ends)-1]
				switch {
				case last.Schedule != nil: // it comes back as another message
					d, starts = delivery(""), 0
					for header, value := range last.Schedule.Header {
						d.Header[header] = []string{value}
					}
				case last.Nack && !last.Crashed:
					t.Fatal("a start is not counted")
				case !last.Nack:
					ended = true
				}
			}
			var code events.Code
			if last.Result != nil {
				code = *last.Result.ErrorCode
			}
			if code != tt.result || last.DeadLetter == nil || deliveries > tt.most || calls > tt.calls {
				t.Errorf("after %d deliveries and %d calls: got %+v; want %q within %d and %d", deliveries, calls, last, tt.result, tt.most, tt.calls)
			}
			if strikes, _ := events.Strikes(d.Header); strikes != tt.strikes {
				t.Errorf("strikes: got %d, want %d", strikes, tt.strikes)
			}
		})
	}
}
