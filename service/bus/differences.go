package bus

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"github.com/nats-io/nats.go/jetstream"
)

// difference is a setting that is not as configured. harm says why the service
// must not work with it; empty means that it may.
type difference struct {
	setting    string
	have, want any
	harm       string
}

// streamDifferences compares a stream on the server with its configuration.
// leastAge is how long a record of answers must live; bound is how large the
// stream must be at least.
func streamDifferences(have, want jetstream.StreamConfig, leastAge time.Duration, bound Bound) []difference {
	queue := want.Retention == jetstream.WorkQueuePolicy
	requests := queue && !want.AllowMsgSchedules
	compare := differences{}
	compare.add("retention", have.Retention, want.Retention, "messages would be kept or dropped at the wrong time")
	compare.subjects(have.Subjects, want.Subjects, requests || ofCancels(want))
	compare.add("allow_direct", have.AllowDirect || !want.AllowDirect, true, "the look-up before a call would not work")
	compare.add("allow_msg_ttl", have.AllowMsgTTL || !want.AllowMsgTTL, true, "claims would never expire")
	compare.add("allow_msg_counter", have.AllowMsgCounter, want.AllowMsgCounter, "limits and budgets could not be counted")
	compare.add("allow_msg_schedules", have.AllowMsgSchedules, want.AllowMsgSchedules, "schedules belong to the retries and to nothing else")
	if want.AllowRollup {
		compare.add("allow_rollup_hdrs", have.AllowRollup, true, "objects could not be replaced nor deleted")
	} else {
		compare.add("allow_rollup_hdrs", have.AllowRollup, false, "a publisher's header could erase other messages")
	}
	if requests {
		compare.add("discard", have.Discard, want.Discard, "a full queue would drop its oldest request")
		compare.add("allow_msg_ttl of requests", have.AllowMsgTTL, false, "a publisher's header could remove requests")
	}
	if queue {
		compare.add("max_age", have.MaxAge, want.MaxAge, "requests would disappear unanswered")
		compare.add("max_msgs", unlimited(have.MaxMsgs), int64(-1), "requests would disappear unanswered")
		compare.add("max_msgs_per_subject", unlimited(have.MaxMsgsPerSubject), int64(-1), "requests would disappear unanswered")
	} else {
		compare.age(have.MaxAge, want.MaxAge, leastAge)
		compare.full(have, want)
		compare.add("max_msgs_per_subject", unlimited(have.MaxMsgsPerSubject), unlimited(want.MaxMsgsPerSubject), "")
	}
	if ofCancels(want) { // with "old" a flood evicts those that matter
		compare.add("discard", have.Discard, want.Discard, "")
		compare.add("max_msgs", unlimited(have.MaxMsgs), want.MaxMsgs, "")
	}
	compare.add("storage", have.Storage, want.Storage, "")
	limited := ""
	switch {
	case queue && have.Discard == jetstream.DiscardOld:
		limited = "requests would disappear unanswered"
	case have.MaxBytes > 0 && have.MaxBytes < int64(bound.Least):
		limited = fmt.Sprintf("%d is the least: %s", bound.Least, bound.Why)
	}
	compare.add("max_bytes", unlimited(have.MaxBytes), unlimited(want.MaxBytes), limited)
	compare.add("max_msg_size", unlimited(int64(have.MaxMsgSize)), unlimited(int64(want.MaxMsgSize)), "")
	compare.add("allow_atomic", have.AllowAtomicPublish, want.AllowAtomicPublish, "")
	compare.add("num_replicas", have.Replicas, max(1, want.Replicas), "")
	return compare.found
}

// consumerDifferences compares a consumer on the server with its configuration.
func consumerDifferences(have, want jetstream.ConsumerConfig) []difference {
	compare := differences{}
	compare.add("ack_policy", have.AckPolicy, want.AckPolicy, "requests would count as done before their result is stored")
	compare.add("filter_subject", have.FilterSubject, want.FilterSubject, "requests would not be delivered")
	compare.add("backoff", len(have.BackOff), 0, "it replaces ack_wait: a dead worker's requests would be delivered again too early or too late")
	compare.add("max_deliver", have.MaxDeliver, want.MaxDeliver, "requests would be stranded in the queue")
	compare.add("headers_only", have.HeadersOnly, false, "requests would come without their bodies")
	compare.add("ack_wait", have.AckWait, want.AckWait, "")
	compare.add("max_ack_pending", have.MaxAckPending, want.MaxAckPending, "")
	return compare.found
}

type differences struct{ found []difference }

func (d *differences) add(setting string, have, want any, harm string) {
	if have != want {
		d.found = append(d.found, difference{setting: setting, have: have, want: want, harm: harm})
	}
}

// subjects allows a stream to have more of them than configured. One of requests or of
// cancellations may have only its first: the others are lanes and tenants, whose publishers
// are refused, and know it; an older version has none of them.
func (d *differences) subjects(have, want []string, first bool) {
	harm := "messages would not be stored"
	if first && slices.Contains(have, want[0]) {
		harm = ""
	}
	if missing := without(want, have); len(missing) > 0 {
		d.add("subjects", strings.Join(have, ","), strings.Join(want, ","), harm)
	}
}

// ofCancels reports whether a stream is that of the cancellations, which alone has a number
// of messages at most.
func ofCancels(want jetstream.StreamConfig) bool { return want.MaxMsgs > 0 }

// age allows a record to be kept longer or shorter than configured, but never
// shorter than the retries need it.
func (d *differences) age(have, want, least time.Duration) {
	harm := ""
	if have != 0 && have < min(least, want) {
		harm = "what was answered or cancelled would be forgotten while retries still wait (twice the sum of the retry delays is the least)"
	}
	d.add("max_age", have, want, harm)
}

// full allows a stream that drops nothing to have another policy as long as it is
// never full.
func (d *differences) full(have, want jetstream.StreamConfig) {
	if want.Discard == jetstream.DiscardNew && (have.MaxBytes > 0 || have.MaxMsgs > 0) {
		d.add("discard", have.Discard, want.Discard, "a full stream would drop the oldest results, and with them the record of what has been answered")
	}
}

func without(all, some []string) []string {
	return slices.DeleteFunc(slices.Clone(all), func(s string) bool { return slices.Contains(some, s) })
}

// unlimited makes JetStream's two ways to say "no limit" one.
func unlimited(n int64) int64 {
	if n <= 0 {
		return -1
	}
	return n
}
