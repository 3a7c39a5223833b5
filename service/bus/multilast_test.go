package bus

import (
	"bytes"
	"errors"
	"fmt"
	"net"
	"strconv"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// stored puts a result into its stream, as the service does.
func (b *bench) stored(s *streams, id string, body []byte) uint64 {
	b.t.Helper()
	m := &nats.Msg{Subject: events.Completed(b.Names.ResponseQueue, id), Header: nats.Header{jetstream.MsgIDHeader: {"message of " + id}, "traceparent": {"00-1-2-01"}}, Data: body}
	sequence, err := s.publisher.store(b.Context(), m)
	if err != nil {
		b.t.Fatal(err)
	}
	return sequence
}

// lastsOf asks for the results of ids and returns what was got.
func (b *bench) lastsOf(s *streams, ids ...string) (got []found, err error) {
	b.t.Helper()
	filters := make([]string, len(ids))
	for i, id := range ids {
		filters[i] = events.AnyResult(b.Names.ResponseQueue, id)
	}
	done := make(chan error, 2)
	s.publisher.lasts(b.Names.ResponsesStream(), filters, func(f found) { got = append(got, f) }, func(err error) { done <- err })
	select {
	case err = <-done:
	case <-b.Context().Done():
		b.t.Fatal("nobody was told of the end")
	}
	return got, err
}

// One question finds what is there, and only that.
func TestLasts(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.streams()
	if got, err := b.lastsOf(s); got != nil || err != nil {
		t.Errorf("nothing is asked for: got %v, %v", got, err)
	}
	if got, err := b.lastsOf(s, servicetest.NewID()); got != nil || err != nil {
		t.Errorf("an empty stream: got %v, %v", got, err)
	}
	var ids []string
	var want []found
	for i := range 100 {
		id := servicetest.NewID()
		if ids = append(ids, id); i%3 > 0 {
			sequence := b.stored(s, id, []byte("{}"))
			want = append(want, found{subject: events.Completed(b.Names.ResponseQueue, id), sequence: sequence, messageID: "message of " + id})
		}
	}
	got, err := b.lastsOf(s, ids...)
	for i := range got {
		if got[i].time.IsZero() {
			t.Errorf("%s has no time", got[i].subject)
		}
		got[i].time = want[min(i, len(want)-1)].time
	}
	if diff := cmp.Diff(want, got, cmp.AllowUnexported(found{})); diff != "" || err != nil {
		t.Errorf("%v, (-want +got)\n%s", err, diff)
	}
	if got, err := b.lastsOf(s, servicetest.NewID(), servicetest.NewID()); got != nil || err != nil {
		t.Errorf("others: got %v, %v", got, err)
	}
}

// The rights of the worker in deploy/nats/nats.conf suffice for it.
func TestLastsWithLeastPrivilege(t *testing.T) {
	t.Parallel()
	b := setupOn(t, servicetest.RunStackNATS(t), func(c *config.Config) {
		c.User, c.Password, c.InboxPrefix, c.APIPrefix = "worker", "worker", "_INBOX_worker", "gemini.js"
	})
	s := b.streams()
	ids := []string{servicetest.NewID(), servicetest.NewID(), servicetest.NewID()}
	b.stored(s, ids[0], nil)
	b.stored(s, ids[2], nil)
	if got, err := b.lastsOf(s, ids...); err != nil || len(got) != 2 {
		t.Errorf("got %+v, %v", got, err)
	}
	if text := b.log.String(); text != "" {
		t.Errorf("the log says: %s", text)
	}
}

// An answer that is not complete is never taken for one.
func TestLastsThatAreNotAll(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.streams()
	large := make([]string, 5)
	for i := range large {
		large[i] = servicetest.NewID()
		b.stored(s, large[i], bytes.Repeat([]byte("x"), lastsMaxBytes/3))
	}
	if got, err := b.lastsOf(s, large...); !errors.Is(err, errNotAll) || len(got) == 0 || len(got) == len(large) {
		t.Errorf("large results: got %d of them, %v", len(got), err)
	}
	many := make([]string, 1025)
	for i := range many {
		many[i] = servicetest.NewID()
		s.publisher.publish(&nats.Msg{Subject: events.Failed(b.Names.ResponseQueue, many[i])}, func(_ uint64, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	b.stored(s, servicetest.NewID(), nil) // they are stored in their order
	if got, err := b.lastsOf(s, many...); !errors.Is(err, errNotAll) || len(got) > 0 {
		t.Errorf("more than the server answers: got %d, %v", len(got), err)
	}
	done := make(chan error, 1)
	s.publisher.lasts("NOBODYS", []string{"x"}, nil, func(err error) { done <- err })
	if err := <-done; !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("no stream: got %v", err)
	}
}

// An answer of which a message was lost on the way is not complete.
func TestLastsWithAMessageMissing(t *testing.T) {
	t.Parallel()
	message := func(sequence, previous, left int) *nats.Msg {
		return &nats.Msg{Header: nats.Header{
			jetstream.StreamHeader: {"S"}, jetstream.SubjectHeader: {"x"}, jetstream.SequenceHeader: {strconv.Itoa(sequence)}, "Nats-Time-Stamp": {"2026-01-01T00:00:00Z"},
			jetstream.LastSequenceHeader: {strconv.Itoa(previous)}, numPendingHeader: {strconv.Itoa(left)},
		}}
	}
	first, second, third := message(1, 0, 2), message(4, 1, 1), message(9, 4, 0)
	for name, answer := range map[string][]*nats.Msg{"first": {second}, "second": {first, third}, "another": {first, message(4, 1, 0)}} {
		var err error
		a := &lastsAnswer{got: func(found) {}, done: func(e error) { err = e }}
		for i, m := range answer {
			if more := a.take(m, nil); more != (i < len(answer)-1) {
				t.Errorf("%s: more after %d: %v", name, i, more)
			}
		}
		if !errors.Is(err, errNotAll) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}

// forgeries are headers that whoever may publish to the results' subjects can end early, so
// that their message looks like something else.
func forgeries() map[string]string {
	padding := strings.Repeat("a:\n", 100) // shorter on the wire than as it is read
	return map[string]string{
		"the end":           "NATS/1.0\r\nStatus: 204\r\nDescription: EOB\r\nNats-Num-Pending: 0\r\nNats-Last-Sequence: 1\r\nNats-UpTo-Sequence: 9\r\n\r\nX: y\r\n\r\n",
		"the end, inline":   "NATS/1.0 204 EOB\r\nNats-Num-Pending: 0\r\nNats-Last-Sequence: 1\r\nNats-UpTo-Sequence: 9\r\n\r\nX: y\r\n\r\n",
		"nothing":           "NATS/1.0\r\nStatus: 404\r\nDescription: No Results\r\n\r\nX: y\r\n\r\n",
		"nothing, inline":   "NATS/1.0 404 No Results\r\n\r\nX: y\r\n\r\n",
		"too much":          "NATS/1.0 413 Too Many Results\r\n\r\nX: y\r\n\r\n",
		"no responders":     "NATS/1.0 503\r\n\r\nX: y\r\n\r\n",
		"no header":         "NATS/1.0\r\n\r\nX: y\r\n\r\n",
		"no header at all":  "NATS/1.0\r\nnonsense\r\n\r\n",
		"another message":   "NATS/1.0\r\nNats-Stream: S\r\nNats-Subject: other\r\nNats-Sequence: 2\r\nNats-Time-Stamp: 2026-01-01T00:00:00Z\r\nNats-Num-Pending: 1\r\nNats-Last-Sequence: 1\r\n\r\nX: y\r\n\r\n",
		"another, padded":   "NATS/1.0\r\nNats-Stream: S\r\nNats-Subject: other\r\nNats-Sequence: 2\r\nNats-Time-Stamp: 2026-01-01T00:00:00Z\r\nNats-Num-Pending: 1\r\nNats-Last-Sequence: 1\r\n" + padding + "\r\nX: y\r\n\r\n",
		"names of a server": "NATS/1.0\r\nNats-Subject: other\r\nNats-Sequence: 99\r\nNats-Num-Pending: 0\r\nStatus: 204\r\nDescription: EOB\r\n\r\n",
	}
}

// No message with forged headers hides another one.
func TestLastsWithForgedHeaders(t *testing.T) {
	t.Parallel()
	for name, block := range forgeries() {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			b := setup(t)
			s := b.streams()
			before, forged, after := servicetest.NewID(), servicetest.NewID(), servicetest.NewID()
			b.stored(s, before, nil)
			b.raw(events.Completed(b.Names.ResponseQueue, forged), block)
			b.stored(s, after, nil)
			for _, ids := range [][]string{{before, forged, after}, {forged, after}, {forged}} {
				got, err := b.lastsOf(s, ids...)
				if err == nil && len(got) != len(ids) {
					t.Errorf("of %d there are said to be %d", len(ids), len(got))
				}
				for _, f := range got {
					if f.subject == "other" {
						t.Errorf("got %+v", f)
					}
				}
			}
		})
	}
}

// raw publishes a message without a body as a client of one's own can, and waits until it is stored.
func (b *bench) raw(subject, block string) {
	b.t.Helper()
	before := b.State(b.Names.ResponsesStream()).Msgs
	conn, err := new(net.Dialer).DialContext(b.Context(), "tcp", strings.TrimPrefix(b.nats.URL, "nats://"))
	if err != nil {
		b.t.Fatal(err)
	}
	b.t.Cleanup(func() { _ = conn.Close() })
	if _, err := fmt.Fprintf(conn, "CONNECT {\"verbose\":false,\"headers\":true}\r\nHPUB %s %d %d\r\n%s\r\nPING\r\n", subject, len(block), len(block), block); err != nil {
		b.t.Fatal(err)
	}
	b.Until("the message is stored", func() (string, bool) {
		n := b.State(b.Names.ResponsesStream()).Msgs
		return fmt.Sprint(n), n > before
	})
}
