package service

import (
	"strconv"
	"time"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

// job is a delivery whose request can be answered, if only with a failure.
type job struct {
	delivery *bus.Delivery
	request  events.Request
	broken   error          // why it must fail, from decoding; nil if it is valid
	reply    upstream.Reply // once upstream was asked
	verdict  verdict        // once it is decided
	starts   int            // of its message that never settled, this one included

	fetched bool // the object of its prompt: nobody else's has this digest

	large  *events.Result  // that is too large for a message
	stored *events.BodyRef // the object that holds it
}

// end is what the bus keeps of a verdict: a schedule, or a result and, where an
// operator may replay the request, its original as a dead letter.
func (v verdict) end(j *job) bus.End {
	if v.outcome == Rescheduled {
		s := &bus.Schedule{At: v.at, Header: v.headers(j.delivery, billed(j))}
		if v.batch != nil {
			v.batch.schedule(j, s)
		}
		return bus.End{Schedule: s}
	}
	result := v.result(j)
	end := bus.End{Result: &result}
	if v.outcome == Failed && v.failure.Code.Deadletter() && !v.deadLettered {
		end.DeadLetter = &bus.DeadLetter{Code: v.failure.Code, Reason: v.failure.Message}
	}
	return end
}

// result is the event of a verdict.
func (v verdict) result(j *job) events.Result {
	if v.outcome == Completed && j.stored != nil {
		return v.referring(j)
	}
	re := &j.reply
	now := time.Now()
	var r events.Result
	if v.outcome == Completed {
		a := v.answer
		r = j.request.Completed(a.Content, now)
		if a.Content == "" && a.ToolCalls != nil {
			r.Content = nil
		}
		r.ModelUsed, r.ModelRequested, r.ToolCalls = known(a.Model), a.Requested, a.ToolCalls
		if !v.withoutReasoning {
			r.Reasoning = known(a.Reasoning)
		}
	} else {
		r = j.request.Failed(v.failure, now)
	}
	if v.withoutMetadata {
		r.Metadata = nil
	}
	took := float64(now.Sub(j.delivery.Taken).Microseconds()) / 1000
	r.ProcessingTimeMS = &took
	r.Attempts, r.RetryCount = re.Attempts, retryCount(j.delivery, j.request.RetryCount)
	r.FinishReason, r.Provider, r.GenerationID = known(re.Usage.FinishReason), known(re.Usage.Provider), known(re.Usage.GenerationID)
	bill := billed(j)
	r.Usage, r.Cost, r.CostDetails, r.Key = bill.Usage, bill.Cost, bill.Details, bill.Key
	r.ServiceTier, r.Cached = known(re.Usage.ServiceTier), re.Usage.Cached
	return r.WithoutUnpaidMetadata()
}

// known is nil for a text that is not known.
func known(s string) *string {
	if s == "" {
		return nil
	}
	return &s
}

// retryCount is how often the request has been rescheduled: by its body, plus
// what the service counted in a header.
func retryCount(d *bus.Delivery, inBody int) int {
	n, _ := events.RetryCount(d.Header)
	return inBody + n
}

// billed is what the request cost in all: in earlier deliveries, as a header says,
// and in this one.
func billed(j *job) events.Bill {
	return events.Billed(j.delivery.Header).Plus(j.reply.Usage.Bill)
}

// headers are those of a request's next delivery: one more retry if a call was
// made, one more timeout if an answer did not come in time, or one more crash loop;
// and what was billed so far. A start that settled resets the count of crash loops.
func (v verdict) headers(d *bus.Delivery, bill events.Bill) map[string]string {
	if v.crashLoops > 0 {
		return map[string]string{events.HeaderStrikes: strconv.Itoa(v.crashLoops)}
	}
	n, _ := events.RetryCount(d.Header)
	if !v.free {
		n++
	}
	headers := map[string]string{events.HeaderRetryCount: strconv.Itoa(n), events.HeaderStrikes: "0"}
	if events.Batch(d.Header).Group != "" { // it has been answered, if with an error
		headers[events.HeaderBatch] = ""
	}
	if !bill.Empty() {
		headers[events.HeaderBilled] = bill.String()
	}
	if v.timedOut {
		timeouts, _ := events.Timeouts(d.Header)
		headers[events.HeaderTimeouts] = strconv.Itoa(timeouts + 1)
	}
	return headers
}
