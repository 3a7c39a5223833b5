package doctor

import (
	"context"
	"fmt"
	"time"

	"gemini-client/service/bus"
)

const (
	// slotBytes is what a request in flight takes besides its body and its answer: 10,000
	// calls took 602 MB (cmd/bench, inflight).
	slotBytes = 60 << 10
	// bodyCopies is how often a byte of a body or an answer counts (bus/memory.go).
	bodyCopies = 5
	// leastBody is the body that must fit into every slot at once, else slots stay empty: some
	// pages of text.
	leastBody = 16 << 10
)

// process looks at what this process has, which is the worker's only where it runs: in its
// container.
func (d *doctor) process(c *column) {
	if d.As != bus.RoleWorker {
		c.skipAll("only a worker needs memory for slots", "memory")
		return
	}
	if d.Invalid != nil {
		c.skipAll(invalidText, "memory", "time limits")
		return
	}
	d.memory(c)
	d.timeLimits(c)
}

func (d *doctor) memory(c *column) {
	m, slots := d.Memory, int64(d.Config.Concurrency)
	limit := m.Limit()
	if m.Go == 0 && m.Container > 0 { // serve sets nine tenths of it
		limit = m.Container / 10 * 9
	}
	budget := limit / 2
	if d.Config.MemoryBudget > 0 {
		budget = int64(d.Config.MemoryBudget)
	}
	const name = "memory"
	what := fmt.Sprintf("%s for %d slots, of these %s for bodies and answers (WORKER_MEMORY_BUDGET)", bytesText(limit), slots, bytesText(budget))
	lower := "lower WORKER_CONCURRENCY, or give the process more memory (the container's limit, GOMEMLIMIT below it)"
	switch {
	case limit == 0:
		c.skip(name, "how much memory this process may use is not known: set GOMEMLIMIT")
	case m.Container > 0 && m.Go >= m.Container:
		c.add(Fail, name, "set GOMEMLIMIT to nine tenths of the container's limit, or leave it unset",
			"GOMEMLIMIT (%s) is not below the container's limit (%s): the kernel kills the process before Go collects", bytesText(m.Go), bytesText(m.Container))
	case budget >= limit:
		c.add(Fail, name, "lower WORKER_MEMORY_BUDGET to half of the memory, or leave it unset", "%s: WORKER_MEMORY_BUDGET leaves nothing for anything else", what)
	case slots*slotBytes >= limit:
		c.add(Fail, name, lower, "%s: the slots alone take some %s when all are used", what, bytesText(slots*slotBytes))
	case slots*slotBytes > limit-budget:
		c.add(Warn, name, lower, "%s: the slots alone take some %s when all are used, more than the budget leaves them", what, bytesText(slots*slotBytes))
	case budget/bodyCopies/slots < leastBody:
		c.add(Warn, name, lower, "%s: with requests of more than %s slots stay empty", what, bytesText(budget/bodyCopies/slots))
	default:
		c.ok(name, "%s: requests of up to %s can use every slot", what, bytesText(budget/bodyCopies/slots))
	}
}

// timeLimits compares those that have to do with each other.
func (d *doctor) timeLimits(c *column) {
	o := d.Config
	var problems []string
	if o.FirstTokenTimeout > o.CallTimeout {
		problems = append(problems, fmt.Sprintf("FIRST_TOKEN_TIMEOUT (%s) is above CALL_TIMEOUT (%s), which ends the call first", o.FirstTokenTimeout, o.CallTimeout))
	}
	if o.TokenGapTimeout > o.CallTimeout {
		problems = append(problems, fmt.Sprintf("TOKEN_GAP_TIMEOUT (%s) is above CALL_TIMEOUT (%s), which ends the call first", o.TokenGapTimeout, o.CallTimeout))
	}
	if len(problems) > 0 {
		c.addDetails(Warn, "time limits", "raise CALL_TIMEOUT, or lower the others", problems, "one of them never counts")
		return
	}
	if o.ShutdownTimeout < o.CallTimeout {
		c.ok("time limits", "calls may take %s; one that takes longer than SHUTDOWN_TIMEOUT (%s) after SIGTERM is cut and paid again", o.CallTimeout, o.ShutdownTimeout)
		return
	}
	c.ok("time limits", "calls may take %s, and SHUTDOWN_TIMEOUT (%s) lets each finish", o.CallTimeout, o.ShutdownTimeout)
}

// collectorTime bounds an export.
const collectorTime = 5 * time.Second

func (d *doctor) telemetry(ctx context.Context, c *column) {
	if len(d.Collectors) == 0 {
		c.skip("collector", "no spans and metrics are sent (OTEL_EXPORTER_OTLP_ENDPOINT is not set)")
	}
	for _, to := range d.Collectors {
		name := to.Signal
		limited, cancel := context.WithTimeout(ctx, collectorTime)
		began := time.Now()
		err := to.Try(limited)
		cancel()
		if err != nil {
			c.add(Warn, name, "see whether the collector runs, and what OTEL_EXPORTER_OTLP_ENDPOINT, _PROTOCOL and _HEADERS say; requests are answered without it, and "+name+" are lost",
				"the collector at %s (%s) does not take them: %s", to.Endpoint, to.Protocol, d.said(err))
			continue
		}
		c.ok(name, "the collector at %s (%s) takes them, after %s", to.Endpoint, to.Protocol, rounded(time.Since(began)))
	}
}

func bytesText(n int64) string {
	switch {
	case n >= 1<<30 && n%(1<<30) == 0:
		return fmt.Sprintf("%d GiB", n>>30)
	case n >= 10<<20:
		return fmt.Sprintf("%d MiB", n>>20)
	case n >= 1<<20:
		return fmt.Sprintf("%.1f MiB", float64(n)/(1<<20))
	}
	return fmt.Sprintf("%d KiB", n>>10)
}

// rounded is a time for people.
func rounded(d time.Duration) string {
	switch {
	case d >= 10*time.Second:
		return d.Round(time.Second).String()
	case d >= 10*time.Millisecond:
		return d.Round(time.Millisecond).String()
	}
	return d.Round(10 * time.Microsecond).String()
}
