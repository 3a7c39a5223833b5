package service

import (
	"testing"
	"time"

	"gemini-client/events"
	"gemini-client/service/bus"
)

// Starts that never settled: apart from others first, then no call any more.
func TestCrashLoop(t *testing.T) {
	t.Parallel()
	tests := map[string]struct {
		starts  int
		counted string
		outcome Outcome
	}{
		"first start":               {1, "", Completed},
		"second start":              {2, "", Completed},
		"third start":               {3, "", Rescheduled},
		"first after one":           {1, "1", Completed},
		"second after one":          {2, "1", Rescheduled},
		"second after two":          {2, "2", Rescheduled},
		"second after MAX_STRIKES":  {2, "3", Failed},
		"third with an odd header":  {3, "x", Rescheduled},
		"many, by a worker that is": {9, "", Rescheduled},
	}
	for name, tt := range tests {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			l := newLine(t, &fakeBus{admit: func(bus.Ask) bus.Admission { return bus.Admission{State: bus.Admitted, Starts: tt.starts} }}, nil)
			d := delivery("")
			d.Header = events.Header{events.HeaderStrikes: {tt.counted}}
			before := time.Now()
			l.deliver(t.Context(), d)
			end := l.only(t)
			switch tt.outcome {
			case Completed:
				if end.Result == nil || end.Result.ErrorCode != nil {
					t.Errorf("got %+v", end)
				}
			case Rescheduled:
				if s := end.Schedule; s == nil || s.At.Sub(before) < crashLoopLeast || s.At.Sub(before) > crashLoopMost+time.Second || s.Header[events.HeaderStrikes] == "0" {
					t.Errorf("got %+v", s)
				}
			case Failed:
				if end.Result == nil || *end.Result.ErrorCode != events.RedeliveryExhausted || end.DeadLetter == nil {
					t.Errorf("got %+v", end)
				}
			case Duplicate, Nacked:
			}
		})
	}
}
