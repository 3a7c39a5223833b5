package doctor

import (
	"context"
	"fmt"
	"time"

	"gemini-client/service/bus"
)

// rights says what this user may not do that its role has to.
func (d *doctor) rights(ctx context.Context, c *column, conn *bus.Conn, seen []bus.Seen) {
	missing := map[string]bool{}
	for _, s := range seen {
		if s.Missing && s.What == "stream "+s.Stream {
			missing[s.Stream] = true
		}
	}
	rights := bus.Rights(d.As, d.Config)
	lacks, err := conn.Lacks(ctx, rights, func(stream string) bool { return missing[stream] })
	if err != nil {
		c.add(Fail, nameRights, "try again; if it lasts, look at nats-server's log", "they could not be found out: %s", d.said(err))
		return
	}
	if len(lacks) == 0 {
		c.ok(nameRights, "this user has all %[2]d rights of the role %[1]s", d.As, len(rights))
		return
	}
	status, needed := Warn, 0
	var details []string
	for _, l := range lacks {
		with := "for"
		if l.Spare {
			with = "it works without, but for"
		} else {
			status = Fail
			needed++
		}
		details = append(details, fmt.Sprintf("%s (%s %s): %s", l.Right, with, l.For, l.Why))
	}
	c.addDetails(status, nameRights, fmt.Sprintf("grant them: deploy/nats/nats.conf has the rights and imports of each role (deploy/README.md, NATS accounts and rights). "+
		"If nearly all are missing, NATS_JS_API_PREFIX=%s, the user or --as does not fit", d.Config.APIPrefix),
		details, "this user lacks %d of the %d rights of the role %s, %d of them needed", len(lacks), len(rights), d.As, needed)
}

// Bounds of the clocks' difference. A second is what schedules are early by, and more
// than the limits of all replicas allow for; with half a minute deadlines and retries are
// plainly wrong.
const (
	skewWarns = time.Second
	skewFails = 30 * time.Second
)

// clockSamples is how often the time is asked for: the quickest answer tells the most.
const clockSamples = 5

// clock compares this machine's clock with that of the server that leads the first
// stream that is seen: the answer to a question about a stream has its time.
func (d *doctor) clock(ctx context.Context, c *column, conn *bus.Conn, seen []bus.Seen) {
	stream := ""
	for _, s := range seen {
		if s.Err == nil && !s.Missing && s.What == "stream "+s.Stream {
			stream = s.Stream
			break
		}
	}
	if stream == "" {
		c.skip(nameClock, "the server's time comes with the answer about a stream, and this user sees none")
		return
	}
	var offset, within time.Duration
	for i := range clockSamples {
		ahead, about, err := conn.Offset(ctx, stream, d.Now)
		if err != nil {
			c.skip(nameClock, "the server did not tell its time: %s", d.said(err))
			return
		}
		if i == 0 || about < within {
			offset, within = ahead, about
		}
	}
	d.skew(c, offset, within)
}

// skew judges a difference that is known up to within.
func (d *doctor) skew(c *column, offset, within time.Duration) {
	direction := "behind"
	if offset < 0 {
		offset, direction = -offset, "ahead of"
	}
	status := OK
	switch certain := offset - within; {
	case certain > skewFails:
		status = Fail
	case certain > skewWarns:
		status = Warn
	}
	if status == OK {
		c.ok(nameClock, "within %s of the server's", rounded(offset+within))
		return
	}
	c.add(status, nameClock, "have NTP set both clocks (chronyc tracking, timedatectl): deadlines, retries and shared limits go by both",
		"this machine is %s %s the server, give or take %s", rounded(offset), direction, rounded(within))
}
