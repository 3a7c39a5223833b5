package main

import (
	"cmp"
	"context"
	"fmt"
	"slices"

	"gemini-client/events"
	"gemini-client/service/bus"
)

// lanesShown is how many lanes a screen shows; JSON has all.
const lanesShown = 20

// laneOverview is a queue of requests beside that of REQUEST_QUEUE: of a tenant, or the slow
// lane of the default one.
type laneOverview struct {
	Tenant string      `json:"tenant"`
	Lane   events.Lane `json:"lane"`
	laneState

	consumer string
}

// readLanes asks for all of them with one question for each 256.
func (a *adminClient) readLanes(ctx context.Context, o *overview) error {
	depths, err := a.conn.Depths(ctx, a.names.RequestsStream())
	if err != nil {
		return fmt.Errorf("consumers of %s: %w", a.names.RequestsStream(), err)
	}
	o.Lanes = lanesOf(depths)
	return nil
}

// lanesOf are those by tenant, interactive before batch; none if no tenant is declared and
// nothing is in the slow lane.
func lanesOf(depths map[string]bus.Depth) (lanes []laneOverview) {
	used := false
	for consumer, depth := range depths {
		tenant, lane, ok := bus.QueueOf(consumer)
		if !ok || consumer == bus.Durable {
			continue
		}
		used = used || tenant != events.DefaultTenant || depth.Waiting+depth.InFlight > 0
		lanes = append(lanes, laneOverview{tenant, lane, *newLaneState(&depth), consumer})
	}
	if !used {
		return nil
	}
	slices.SortFunc(lanes, func(x, y laneOverview) int {
		return cmp.Or(cmp.Compare(x.Tenant, y.Tenant), -cmp.Compare(x.Lane, y.Lane))
	})
	return lanes
}

// busiestLanes are the lanes in which something waits, is in flight or is paused, most
// waiting first, and how many more there are.
func (o *overview) busiestLanes() (lines []string) {
	busy := slices.DeleteFunc(slices.Clone(o.Lanes), func(l laneOverview) bool { return l.Waiting+l.InFlight == 0 && l.PausedUntil == nil })
	slices.SortStableFunc(busy, func(x, y laneOverview) int { return -cmp.Compare(x.Waiting, y.Waiting) })
	for i, l := range busy {
		if i == lanesShown {
			return append(lines, fmt.Sprintf("and %d more lanes (--json has all)", len(busy)-i))
		}
		lines = append(lines, fmt.Sprintf("%s, %s: %s", l.Tenant, l.Lane, l.laneState.String()))
	}
	return lines
}
