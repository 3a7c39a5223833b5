package bus

import (
	"bytes"
	"context"
	"encoding/json"
	"errors"
	"io"
	"time"
)

const (
	// verifyEvery is how often the stream is asked whether it has cancellations that
	// this process has not seen.
	verifyEvery = 2 * time.Second
	// walkMost is how many of them are read one by one. More are read with all that
	// the stream has.
	walkMost = 1000
	// cancelsRest is the least time between two reads of all that the stream has, and
	// after the set had no room for it.
	cancelsRest = 30 * time.Second
)

// watch makes sure of the set again and again until ctx ends. It begins once the
// subscription is there, so that what it has not found comes live.
func (c *cancels) watch(ctx context.Context, cancelled func(tenant, id string)) {
	again := time.NewTicker(verifyEvery)
	defer again.Stop()
	for {
		c.listenToIsolated(cancelled)
		if c.streams.conn.IsConnected() {
			one, end := context.WithTimeout(ctx, requestTimeout)
			if err := c.verify(one, cancelled); err != nil {
				c.streams.log.DebugContext(ctx, "whether cancellations were missed is not known; until it is, NATS is asked about each request", "error", err)
			}
			end()
		}
		select {
		case <-ctx.Done():
			return
		case <-again.C:
		case <-c.wake:
		}
	}
}

// cancelsInfo is what the stream says of itself.
type cancelsInfo struct {
	Created time.Time `json:"created"`
	State   struct {
		Messages int        `json:"messages"`
		Last     uint64     `json:"last_seq"`
		Subjects subjectSet `json:"subjects"` // if they were asked for
	} `json:"state"`
	Total   int `json:"total"` // of these subjects, of which an answer has 100,000 at most
	Cluster *struct {
		Name   string `json:"name"`
		Leader string `json:"leader"`
	} `json:"cluster"`
}

// orders reports whether a cancellation reaches this process before any request that is
// published once the cancellation is acknowledged: the stream is on the server that
// this process is connected to, and that is no part of a cluster. Between servers a
// cancellation can be late, and lost when they lose each other for a moment.
func (i cancelsInfo) orders(server string) bool {
	return i.Cluster != nil && i.Cluster.Name == "" && i.Cluster.Leader == server
}

// subjectSet are the keys of an object, whose values are left aside.
type subjectSet []string

func (subjects *subjectSet) UnmarshalJSON(object []byte) error {
	for d := json.NewDecoder(bytes.NewReader(object)); ; {
		token, err := d.Token()
		if errors.Is(err, io.EOF) {
			return nil
		} else if err != nil {
			return err
		}
		if subject, ok := token.(string); ok {
			*subjects = append(*subjects, subject)
		}
	}
}

// verify reads what the stream has and the set has not, and calls cancelled with each
// that is news. Where the stream's server keeps the order, the set is current from the
// moment on in which this began, because whatever is stored later comes live.
func (c *cancels) verify(ctx context.Context, cancelled func(tenant, id string)) error {
	begun := time.Now()
	on, _ := c.feed()
	c.sayDeaf()
	info, err := c.info(ctx, nil)
	if err != nil {
		return err
	}
	n, dropped := c.set.size()
	known := dropped.IsZero() && !c.behind && info.Created.Equal(c.created) && info.State.Last >= c.through && n <= info.State.Messages+walkMost
	switch {
	case info.State.Messages > c.set.most:
		c.set.drop()
		c.sayDropped(ctx)
		return nil
	case known && info.State.Last-c.through <= walkMost:
		err = c.walk(ctx, info.State.Last, reader{on, cancelled})
	case time.Since(c.read) < cancelsRest, time.Since(dropped) < cancelsRest:
		c.sayDropped(ctx)
		return nil
	default:
		err = c.readAll(ctx, reader{on, cancelled})
	}
	if err != nil {
		return err
	}
	c.set.reach(c.created, c.through)
	if info.orders(c.streams.conn.ConnectedServerName()) {
		c.set.verify(begun, on)
	}
	return nil
}

// reader is told what is read and was not heard on its feed.
type reader struct {
	on        feed
	cancelled func(tenant, id string)
}

// info asks the stream. Where it has no leader, another answers, whose copy may lag
// behind.
func (c *cancels) info(ctx context.Context, body any) (info cancelsInfo, err error) {
	s := c.streams
	err = s.conn.ask(ctx, streamInfo(s.names.CancelsStream()), body, &info)
	if err == nil && info.Cluster != nil && info.Cluster.Leader == "" {
		err = errNoLeader
	}
	return info, err
}

var (
	errNoLeader = errors.New("the stream has no leader")
	errNoRoom   = errors.New("there are more cancellations than there is room for")
)

// readAll reads all ids that the stream has. Where the set was behind they are no news:
// who was admitted by then had been asked about.
func (c *cancels) readAll(ctx context.Context, r reader) error {
	c.read = time.Now()
	if c.set.keep() {
		c.behind = true
	}
	info, err := c.info(ctx, map[string]any{"subjects_filter": c.streams.names.CancelsAll()})
	if err != nil {
		return err
	}
	if info.Total > c.set.most {
		c.set.drop()
		return errNoRoom
	}
	news, room := c.set.replace(c.streams.names, info.State.Subjects, r.on)
	if !room {
		return errNoRoom
	}
	c.created, c.through = info.Created, info.State.Last
	if c.said {
		c.said = false
		c.streams.log.InfoContext(ctx, "cancellations are in memory again")
	}
	if c.behind {
		c.behind = false
		return nil
	}
	for _, one := range news {
		r.cancelled(one.tenant, one.id)
	}
	return nil
}

// walk reads what the stream has stored since it was last read.
func (c *cancels) walk(ctx context.Context, last uint64, r reader) error {
	s := c.streams
	for c.through < last {
		m, err := s.message(s.names.CancelsStream(), map[string]any{"seq": c.through + 1, "next_by_subj": s.names.CancelsAll(), "no_hdr": true})(ctx)
		switch {
		case err != nil:
			return err
		case m == nil:
			c.through = last
			continue
		}
		if one, key, ok := parseCancel(s.names, m.Subject); ok && c.set.find(one, key, r.on) {
			r.cancelled(one.tenant, one.id)
		}
		c.through = m.Sequence
	}
	return nil
}

// sayDeaf says that the set is of no use as long as this process is connected as it is.
func (c *cancels) sayDeaf() {
	if c.set.deaf() {
		c.streams.refusals.say("cancellations are stored and not heard: NATS is asked about each request", errDeaf)
	}
}

var errDeaf = errors.New("not all who may cancel are heard on the subject of cancellations: are its exports and imports as in deploy/nats?")

// sayDropped says once that the set has no room.
func (c *cancels) sayDropped(ctx context.Context) {
	if _, dropped := c.set.size(); !dropped.IsZero() && !c.said {
		c.said = true
		c.streams.log.WarnContext(ctx, "there are too many cancellations to remember: NATS is asked about each request", "most", c.set.most)
	}
}
