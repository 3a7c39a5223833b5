package bus

import (
	"context"
	"maps"
	"time"

	"gemini-client/events"
	"gemini-client/telemetry"
)

const (
	stateUnsettled = "unsettled" // waits or is in flight

	// lanesReported is of how many tenants each lane is reported; of all others, the sum,
	// as the queue lanesOther.
	lanesReported = 100
	lanesOther    = "other"
)

// readLanes reads how many requests there are beside those on REQUEST_QUEUE, with one
// question for all tenants. Nothing is asked while none is declared.
func (b *backlog) readLanes(ctx context.Context) {
	if !b.tenants.Any() {
		b.setLanes(nil)
		return
	}
	var info struct {
		State struct {
			Subjects map[string]uint64 `json:"subjects"`
		} `json:"state"`
	}
	question := streamInfo(b.names.RequestsStream())
	err := b.ask(ctx, telemetry.MetricQueueMessages, question, func() error {
		return b.conn.ask(ctx, question, map[string]any{"subjects_filter": b.names.RequestsAll()}, &info)
	})
	if err == nil {
		b.setLanes(b.lanes(info.State.Subjects))
	}
}

// lanes are the numbers by queue: the default tenant's slow lane, both of each of the first
// tenants by name, and the sum of the others.
func (b *backlog) lanes(stored map[string]uint64) map[string]uint64 {
	numbers := map[string]uint64{}
	report := func(tenant string, lane events.Lane) {
		subject := b.names.Requests(tenant, lane)
		numbers[subject] = stored[subject]
	}
	report(events.DefaultTenant, events.LaneBatch)
	for i, t := range b.tenants.Declared() {
		if t.Name == events.DefaultTenant {
			continue
		}
		if i >= lanesReported {
			numbers[lanesOther] = 0
			break
		}
		report(t.Name, events.LaneInteractive)
		report(t.Name, events.LaneBatch)
	}
	for subject, n := range stored {
		if _, reported := numbers[subject]; !reported && n > 0 {
			numbers[lanesOther] += n
		}
	}
	return numbers
}

// setLanes takes up the numbers in the place of those before.
func (b *backlog) setLanes(numbers map[string]uint64) {
	b.mu.Lock()
	defer b.mu.Unlock()
	maps.DeleteFunc(b.messages, func(of queueState, _ reading) bool { return of.state == stateUnsettled })
	for queue, n := range numbers {
		b.messages[queueState{queue, stateUnsettled}] = reading{n, time.Now()}
	}
}
