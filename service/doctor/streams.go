package doctor

import (
	"fmt"
	"slices"
	"strings"
	"time"

	"gemini-client/service/bus"
)

const provisionWayOut = "`gemini-client provision` with an admin's rights applies the configuration (--dry-run shows what it would do)"

// streams says what is missing and what differs, of streams and of consumers, and judges
// the ack wait in force.
func (d *doctor) streams(c *column, seen []bus.Seen) {
	isStream := func(s bus.Seen) bool { return strings.HasPrefix(s.What, "stream ") }
	streams := slices.DeleteFunc(slices.Clone(seen), func(s bus.Seen) bool { return !isStream(s) })
	consumers := slices.DeleteFunc(slices.Clone(seen), isStream)
	d.fit(c, nameStreams, streams)
	d.fit(c, nameConsumers, consumers)
	d.ackWait(c, consumers)
}

// fitting is what came of comparing streams or consumers with the configuration.
type fitting struct {
	status  Status
	there   int
	details []string
	hidden  []string // what this user does not see
	later   []string // what is made when it is needed
}

func (f *fitting) worse(status Status, format string, args ...any) {
	if status == Fail || f.status == OK {
		f.status = status
	}
	f.details = append(f.details, fmt.Sprintf(format, args...))
}

// fit compares what is seen with the configuration.
func (d *doctor) fit(c *column, name string, seen []bus.Seen) {
	f := &fitting{status: OK}
	for _, s := range seen {
		d.fitOne(f, s)
		for _, change := range s.Changes {
			if change.Harm != "" {
				f.worse(Fail, "%s", change)
			} else {
				f.worse(Warn, "%s", change)
			}
		}
	}
	found := fmt.Sprintf("%d as configured", f.there)
	if f.status != OK {
		found = fmt.Sprintf("%d of %d are there; what is missing or differs:", f.there, len(seen))
	}
	if len(f.hidden) > 0 {
		found += fmt.Sprintf("; this user does not see %s", strings.Join(f.hidden, ", "))
	}
	if len(f.later) > 0 {
		found += fmt.Sprintf("; made when they are needed: %s", strings.Join(f.later, ", "))
	}
	switch {
	case f.status != OK:
		c.addDetails(f.status, name, provisionWayOut, f.details, "%s", found)
	case f.there == 0:
		c.skip(name, "this user sees none of them")
	default:
		c.ok(name, "%s", found)
	}
}

// fitOne says whether one is there.
func (d *doctor) fitOne(f *fitting, s bus.Seen) {
	switch {
	case s.Missing && !d.needs(s):
		f.later = append(f.later, s.What)
	case s.Missing && s.Spare && !d.budgets(s):
		f.worse(Warn, "%s is missing: %s", s.What, d.without(s))
	case s.Missing:
		f.worse(Fail, "%s is missing: %s", s.What, d.without(s))
	case s.Hidden():
		f.hidden = append(f.hidden, s.What)
	case s.Err != nil:
		f.worse(Fail, "%s: %s", s.What, d.said(s.Err))
	default:
		f.there++
	}
}

// needs reports whether it matters that something is missing: a service that may make
// it does so when it has something to put there.
func (d *doctor) needs(s bus.Seen) bool { return !s.Spare || !d.Config.Provision }

// budgets reports whether it is the stream of the money that BUDGET bounds.
func (d *doctor) budgets(s bus.Seen) bool {
	return d.Config.FleetBudget != "" && s.Stream == d.Config.Names().BudgetsStream()
}

// without says what there is not without a stream or consumer.
func (d *doctor) without(s bus.Seen) string {
	n := d.Config.Names()
	switch {
	case !s.Spare:
		return "nothing is answered without it"
	case d.budgets(s):
		return "under BUDGET nothing is called for without it"
	}
	switch s.Stream {
	case n.BudgetsStream():
		return "tenants with a budget are not answered"
	case n.LimitsStream():
		return "each worker has the whole of each limit"
	case n.BatchStream():
		return "requests with tier batch are answered in the ordinary way"
	case n.BodiesStream():
		return "bodies that are too large for a message are refused"
	case n.TenantsStream():
		return "no tenant can be declared"
	}
	return "what comes on its subject is not answered"
}

// leastAckWait is the least that ACK_WAIT may be.
const leastAckWait = 3 * time.Second

// ackWait judges that of the consumers in force: who created them chose it.
func (d *doctor) ackWait(c *column, consumers []bus.Seen) {
	call := d.Config.CallTimeout
	var short, long []string
	var least time.Duration
	for _, s := range consumers {
		switch {
		case s.AckWait == 0:
			continue
		case s.AckWait < leastAckWait:
			short = append(short, fmt.Sprintf("%s: %s", s.What, s.AckWait))
		case s.AckWait > call:
			long = append(long, fmt.Sprintf("%s: %s", s.What, s.AckWait))
		}
		if least == 0 || s.AckWait < least {
			least = s.AckWait
		}
	}
	wayOut := fmt.Sprintf("set ACK_WAIT (now %s; 30s by default), then %s", d.Config.AckWait, provisionWayOut)
	switch {
	case least == 0:
		c.skip(nameAckWait, "this user sees no consumer")
	case len(short) > 0:
		c.addDetails(Fail, nameAckWait, wayOut, short, "below %s: requests are delivered again while they are being answered", leastAckWait)
	case len(long) > 0:
		c.addDetails(Warn, nameAckWait, wayOut, long, "longer than any call may take (CALL_TIMEOUT=%s): what a killed worker had in hand waits that long", call)
	default:
		c.ok(nameAckWait, "%s: so long waits what a killed worker had in hand; calls of up to %s (CALL_TIMEOUT) are kept alive every %s", least, call, least/3)
	}
}
