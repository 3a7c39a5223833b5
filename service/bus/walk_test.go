package bus

import (
	"bytes"
	"errors"
	"strconv"
	"testing"
	"time"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/servicetest"
)

// walk reads the results that a walk finds.
func (b *bench) walk(since time.Time, sequence uint64) (all []Walked) {
	b.t.Helper()
	err := b.connect().Walk(b.Context(), b.Names.ResponsesStream(), since, sequence, func(w Walked) bool {
		all = append(all, w)
		return true
	})
	if err != nil {
		b.t.Fatal(err)
	}
	return all
}

// A walk finds every message in its order, from a time or a sequence on, over holes, and
// however many questions it takes.
func TestWalk(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.streams()
	if got := b.walk(time.Time{}, 0); got != nil {
		t.Errorf("an empty stream: got %v", got)
	}
	const most = walkMessages + 7
	for i := range most {
		s.publisher.publish(&nats.Msg{Subject: events.Failed(b.Names.ResponseQueue, servicetest.NewID()), Data: []byte(strconv.Itoa(i))}, func(_ uint64, err error) {
			if err != nil {
				t.Error(err)
			}
		})
	}
	last := b.stored(s, servicetest.NewID(), []byte("the last"))
	for _, gone := range []uint64{2, 500, 501, walkMessages + 1} {
		if err := s.responses.DeleteMsg(b.Context(), gone); err != nil {
			t.Fatal(err)
		}
	}
	all := b.walk(time.Time{}, 0)
	if len(all) != most+1-4 {
		t.Fatalf("%d messages, want %d", len(all), most+1-4)
	}
	before := uint64(0)
	for _, w := range all[:len(all)-1] {
		if w.Sequence <= before || string(w.Data) != strconv.FormatUint(w.Sequence-1, 10) {
			t.Fatalf("behind %d comes %+v", before, w)
		}
		before = w.Sequence
	}
	end := all[len(all)-1]
	if end.Sequence != last || string(end.Data) != "the last" || end.Header.Get(jetstream.MsgIDHeader) == "" || end.Left != 0 || time.Since(end.Time) > time.Hour {
		t.Errorf("the last: %+v", end)
	}
	if got := b.walk(all[700].Time, 0); len(got) == 0 || got[0].Sequence > all[700].Sequence || got[0].Time.Before(all[700].Time) {
		t.Errorf("since the time of %d: %d from %+v", all[700].Sequence, len(got), got[0])
	}
	if got := b.walk(time.Time{}, 500); len(got) == 0 || got[0].Sequence != 502 {
		t.Errorf("from a sequence on that is gone: %+v", got[0])
	}
	for _, none := range [][]Walked{b.walk(time.Now().Add(time.Hour), 0), b.walk(time.Time{}, last+1)} {
		if none != nil {
			t.Errorf("behind the last: %v", none)
		}
	}
	n := 0
	if err := b.connect().Walk(b.Context(), b.Names.ResponsesStream(), time.Time{}, 0, func(Walked) bool { n++; return n < 3 }); err != nil || n != 3 {
		t.Errorf("stopped after 3: %d, %v", n, err)
	}
}

// Large messages end a question, and no more than it may have are in memory.
func TestWalkOfLargeMessages(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.streams()
	for range 5 {
		b.stored(s, servicetest.NewID(), bytes.Repeat([]byte("x"), walkMaxBytes/3))
	}
	c := b.connect()
	if err := c.mux.open(c.Conn); err != nil {
		t.Fatal(err)
	}
	messages, next, err := c.walkOn(b.Context(), b.Names.ResponsesStream(), map[string]any{"seq": 1})
	if err != nil || len(messages) != 3 && len(messages) != 4 || next != messages[len(messages)-1].Sequence+1 {
		t.Errorf("one question: %d messages, then from %d: %v", len(messages), next, err)
	}
	if got := b.walk(time.Time{}, 0); len(got) != 5 {
		t.Errorf("got %d", len(got))
	}
}

// The admin of deploy/nats may walk, and needs no consumer. Others are told why not.
func TestWalkWithLeastPrivilege(t *testing.T) {
	t.Parallel()
	n := servicetest.RunStackNATS(t)
	as := func(user string, api string) *bench {
		return setupOn(t, n, func(c *config.Config) {
			c.User, c.Password, c.InboxPrefix, c.APIPrefix = user, user, "_INBOX_"+user, api
		})
	}
	worker := as("worker", "gemini.js")
	worker.stored(worker.streams(), servicetest.NewID(), []byte("1"))
	admin := as("admin", "$JS.API")
	if got := admin.walk(time.Time{}, 0); len(got) != 1 || string(got[0].Data) != "1" {
		t.Errorf("got %+v", got)
	}
	each := func(Walked) bool { return true }
	err := as("backend", "gemini.js").connect().Walk(t.Context(), "GEMINI_RESPONSES", time.Time{}, 0, each)
	if !errors.Is(err, ErrDenied) {
		t.Errorf("a backend: %v", err)
	}
	if err := admin.connect().Walk(t.Context(), "NONE", time.Time{}, 0, each); !errors.Is(err, nats.ErrNoResponders) {
		t.Errorf("no such stream: %v", err)
	}
}

// Whoever may publish to the results' subjects can have a message look like something
// else: it is shown as one that is not to be believed, and hides no other.
func TestWalkOverForgedHeaders(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s := b.streams()
	want := 0
	for _, block := range forgeries() {
		b.stored(s, servicetest.NewID(), []byte("true"))
		b.raw(events.Completed(b.Names.ResponseQueue, servicetest.NewID()), block)
		b.raw(events.Completed(b.Names.ResponseQueue, servicetest.NewID()), block)
		want += 3
	}
	for from := uint64(1); from <= 4; from++ {
		believed, all := 0, b.walk(time.Time{}, from)
		for _, w := range all {
			if string(w.Data) == "true" {
				believed++
			}
			if w.Subject == "other" {
				t.Errorf("got %+v", w)
			}
		}
		if first := int(from-1+2) / 3; len(all) != want+1-int(from) || believed != want/3-first {
			t.Errorf("from %d: %d messages, %d of them true; want %d and %d", from, len(all), believed, want+1-int(from), want/3-first)
		}
	}
}

// An answer of which a message was lost on the way is no answer.
func TestWalkWithAMessageMissing(t *testing.T) {
	t.Parallel()
	message := func(sequence, previous, left int) *nats.Msg {
		return &nats.Msg{Header: nats.Header{
			jetstream.StreamHeader: {"S"}, jetstream.SubjectHeader: {"x"}, jetstream.SequenceHeader: {strconv.Itoa(sequence)}, "Nats-Time-Stamp": {"2026-01-01T00:00:00Z"},
			jetstream.LastSequenceHeader: {strconv.Itoa(previous)}, numPendingHeader: {strconv.Itoa(left)},
		}}
	}
	eob, bad := nats.Header{"Status": {statusEnd}, "Description": {"EOB"}}, nats.Header{"Status": {"408"}, "Description": {"Bad Request"}}
	first, second := message(3, 0, 2), message(4, 3, 1)
	for name, c := range map[string]struct {
		answer   []*nats.Msg
		end      nats.Header
		previous uint64
		whole    bool
	}{
		"all is there":   {[]*nats.Msg{first, second}, eob, 4, true},
		"the first":      {[]*nats.Msg{second}, eob, 4, false},
		"one between":    {[]*nats.Msg{first, message(9, 4, 0)}, eob, 9, false},
		"a second time":  {[]*nats.Msg{first, message(3, 3, 1)}, eob, 3, false},
		"the last":       {[]*nats.Msg{first}, eob, 4, false},
		"all":            {nil, eob, 4, false},
		"something else": {[]*nats.Msg{first}, bad, 3, false},
	} {
		a := &walkAnswer{}
		var err error
		for _, m := range c.answer {
			if err == nil {
				_, err = a.take(m)
			}
		}
		if err == nil {
			err = a.end(c.end, c.previous, 1)
		}
		if c.whole != (err == nil) || err != nil && !errors.Is(err, errNotAll) {
			t.Errorf("%s: got %v", name, err)
		}
	}
}
