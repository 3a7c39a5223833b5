package service

import (
	"testing"

	"github.com/google/go-cmp/cmp"

	"gemini-client/events"
	"gemini-client/service/bus"
)

// What a schedule's headers count.
func TestHeadersOfTheNextDelivery(t *testing.T) {
	t.Parallel()
	d := &bus.Delivery{Header: map[string][]string{events.HeaderRetryCount: {"2"}, events.HeaderStrikes: {"1"}}}
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
		"a call failed":    {verdict{}, events.Bill{}, map[string]string{events.HeaderRetryCount: "3", events.HeaderStrikes: "0"}},
		"no call was made": {verdict{free: true}, events.Bill{}, map[string]string{events.HeaderRetryCount: "2", events.HeaderStrikes: "0"}},
		"a crash loop":     {verdict{crashLoops: 2}, events.Bill{}, map[string]string{events.HeaderStrikes: "2"}},
	} {
		if diff := cmp.Diff(c.want, c.v.headers(d, c.bill)); diff != "" {
			t.Errorf("%s (-want +got):\n%s", name, diff)
		}
	}
}
