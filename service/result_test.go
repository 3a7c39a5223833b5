package service

import (
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gemini-client/events"
	"gemini-client/service/bus"
	"gemini-client/service/upstream"
)

// What a schedule's headers count.
func TestHeadersOfTheNextDelivery(t *testing.T) {
	t.Parallel()
	d := &bus.Delivery{Header: map[string][]string{events.HeaderRetryCount: {"2"}, events.HeaderStrikes: {"1"}, events.HeaderTimeouts: {"1"}}}
	for name, c := range map[string]struct {
		v    verdict
		bill events.Bill
		want map[string]string
	}{
		"a billed call failed": {
			verdict{},
			events.Bill{Cost: new(0.5)},
			map[string]string{events.HeaderRetryCount: "3", events.HeaderStrikes: "0", events.HeaderBilled: `{"cost":0.5}`},
		},
		"a call failed":     {verdict{}, events.Bill{}, map[string]string{events.HeaderRetryCount: "3", events.HeaderStrikes: "0"}},
		"no answer in time": {verdict{timedOut: true}, events.Bill{}, map[string]string{events.HeaderRetryCount: "3", events.HeaderStrikes: "0", events.HeaderTimeouts: "2"}},
		"no call was made":  {verdict{free: true}, events.Bill{}, map[string]string{events.HeaderRetryCount: "2", events.HeaderStrikes: "0"}},
		"a crash loop":      {verdict{crashLoops: 2}, events.Bill{}, map[string]string{events.HeaderStrikes: "2"}},
	} {
		if diff := cmp.Diff(c.want, c.v.headers(d, c.bill)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}

// Metadata over the bound comes back with what was paid for, and with nothing
// else.
func TestLargeMetadata(t *testing.T) {
	t.Parallel()
	metadata := func(n int) []byte { return []byte(`{"a":"` + strings.Repeat("x", n-8) + `"}`) }
	paid := upstream.Usage{Bill: events.Bill{Cost: new(0.0)}}
	for name, c := range map[string]struct {
		v        verdict
		usage    upstream.Usage
		bytes    int
		returned bool
	}{
		"unpaid, as large as it may be": {failed(events.InvalidRequest, "No."), upstream.Usage{}, events.UnpaidMetadataMax, true},
		"unpaid, and larger":            {failed(events.InvalidRequest, "No."), upstream.Usage{}, events.UnpaidMetadataMax + 1, false},
		"a failure that was billed":     {failed(events.ContentFiltered, "No."), paid, 1 << 20, true},
		"completed":                     {completed(&upstream.Answer{Content: "yes"}), upstream.Usage{}, 1 << 20, true},
	} {
		j := &job{delivery: &bus.Delivery{}, request: events.Request{ID: anID, Metadata: metadata(c.bytes)}, reply: upstream.Reply{Usage: c.usage}}
		r := c.v.result(j)
		if c.returned != (len(r.Metadata) == c.bytes) {
			t.Errorf("%s: %d bytes of %d", name, len(r.Metadata), c.bytes)
		}
		if says := r.Error != nil && strings.Contains(*r.Error, "metadata has 65537 bytes"); says == c.returned {
			t.Errorf("%s: the text is %v", name, *r.Error)
		}
	}
}
