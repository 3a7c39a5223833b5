package bus

import (
	"fmt"
	"slices"
	"testing"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/tenant"
)

// cancelID is the n-th of some ids.
func cancelID(n int) string { return fmt.Sprintf("00000000-0000-4000-8000-%012d", n) }

// watched are cancels on a server, without what comes live: the test has them make
// sure of their set, and is told what was news.
type watched struct {
	*cancels
	t    *testing.T
	js   jetstream.JetStream
	news []string
}

func newWatched(t *testing.T) *watched {
	t.Helper()
	s, n := testStreams(t)
	w := &watched{cancels: newCancels(s, tenant.NewRegistry()), t: t, js: n.JetStream()}
	w.feedFrom("nobody")
	return w
}

// feedFrom has what comes live come on another subject, where the test hears it.
func (w *watched) feedFrom(subject string) {
	w.t.Helper()
	live, err := w.streams.conn.Subscribe(subject, func(*nats.Msg) {})
	if err != nil {
		w.t.Fatal(err)
	}
	w.live.Store(live)
}

func (w *watched) cancel(from, to int) {
	w.t.Helper()
	for i := from; i < to; i++ {
		if _, err := w.js.PublishMsgAsync(&nats.Msg{Subject: w.streams.names.Cancel(cancelID(i)), Header: nats.Header{"Status": {"503"}}}); err != nil {
			w.t.Fatal(err)
		}
	}
	<-w.js.PublishAsyncComplete()
}

// look makes sure of the set after a reconnect, and wants so many news.
func (w *watched) look(want int) {
	w.t.Helper()
	w.set.on.connection--
	w.verifies(want)
}

// verifies makes sure of the set, and wants so many news.
func (w *watched) verifies(want int) {
	w.t.Helper()
	w.news, w.read = nil, time.Time{}
	if err := w.verify(w.t.Context(), func(_, id string) { w.news = append(w.news, id) }); err != nil {
		w.t.Fatal(err)
	}
	slices.Sort(w.news)
	if n := len(slices.Compact(w.news)); n != want {
		w.t.Errorf("news: got %d, want %d", n, want)
	}
}

// wants says what is known of some ids: what the stream has is cancelled, and all
// else is not.
func (w *watched) wants(cancelled ...bool) {
	w.t.Helper()
	for i, want := range cancelled {
		if got, known := w.known(uuid.MustParse(cancelID(i)), false); got != want || !known {
			w.t.Errorf("id %d: cancelled %v, known %v; want %v", i, got, known, want)
		}
	}
}

// What was missed is found, a little of it one by one and much of it at once. It is
// news, other than what was there at the start, and whatever its headers are.
func TestMissedCancellationsAreFound(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	if _, known := w.known(uuid.MustParse(cancelID(0)), false); known {
		t.Error("something is known before anything was read")
	}
	w.cancel(0, 1)
	w.look(0)
	w.wants(true, false, false)
	w.cancel(0, 2)
	w.look(1)
	w.wants(true, true, false)
	w.cancel(2, 3+walkMost)
	w.look(1 + walkMost)
	w.wants(true, true, true)
	if got, known := w.known(uuid.MustParse(cancelID(2+walkMost)), false); !got || !known {
		t.Error("the last is missing")
	}
	if got, known := w.known(uuid.MustParse(cancelID(3+walkMost)), false); got || !known {
		t.Error("one too many")
	}
}

// A record that was made anew begins to count anew.
func TestRecordOfCancellationsMadeAnew(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	w.cancel(0, 3)
	w.look(0)
	stream, err := w.js.Stream(t.Context(), w.streams.names.CancelsStream())
	if err != nil {
		t.Fatal(err)
	}
	if err := w.js.DeleteStream(t.Context(), stream.CachedInfo().Config.Name); err != nil {
		t.Fatal(err)
	}
	if w.verify(t.Context(), nil) == nil {
		t.Error("sure of a record that is not there")
	}
	if _, err := w.js.CreateStream(t.Context(), stream.CachedInfo().Config); err != nil {
		t.Fatal(err)
	}
	w.cancel(3, 5)
	w.look(2)
	w.wants(true, true, true, true, true, false)
}

// What the record has forgotten leaves the set in time. Before that the record is
// asked about what is there and not new.
func TestForgottenCancellations(t *testing.T) {
	t.Parallel()
	w := newWatched(t)
	w.cancel(0, 2+walkMost)
	w.look(0)
	stream, err := w.js.Stream(t.Context(), w.streams.names.CancelsStream())
	if err != nil {
		t.Fatal(err)
	}
	if err := stream.Purge(t.Context(), jetstream.WithPurgeSubject(w.streams.names.Cancel(cancelID(0)))); err != nil {
		t.Fatal(err)
	}
	w.set.epoch = w.set.epoch.Add(-2 * cancelYoung) // they are old now
	for i, want := range []bool{false, true} {
		if got, err := w.has(t.Context(), cancellation{id: cancelID(i)}); got != want || err != nil {
			t.Errorf("has %d: got %v, %v, want %v", i, got, err, want)
		}
	}
	if err := stream.Purge(t.Context()); err != nil {
		t.Fatal(err)
	}
	w.set.hear(uuid.MustParse(cancelID(9999)))
	w.look(0)
	if n, _ := w.set.size(); n != 1 {
		t.Errorf("ids in the set: %d, want the new one alone", n)
	}
	w.wants(false, false)
	if got, known := w.known(uuid.MustParse(cancelID(9999)), false); !got || !known {
		t.Error("what was just heard, and is not stored yet, is not cancelled")
	}
}

// Of more than there is room for nothing is kept, and nothing is known; when there is
// room again, it is.
func TestTooManyCancellations(t *testing.T) {
	t.Parallel()
	for name, live := range map[string]bool{"stored": false, "heard": true} {
		t.Run(name, func(t *testing.T) {
			t.Parallel()
			w := newWatched(t)
			w.set.most = 3
			w.look(0)
			if live {
				for i := range 4 {
					w.set.hear(uuid.MustParse(cancelID(i)))
				}
			} else {
				w.cancel(0, 4)
				w.look(0)
			}
			for i := range 5 {
				if _, known := w.known(uuid.MustParse(cancelID(i)), false); known {
					t.Errorf("id %d is known", i)
				}
			}
			stream, err := w.js.Stream(t.Context(), w.streams.names.CancelsStream())
			if err != nil {
				t.Fatal(err)
			}
			if err := stream.Purge(t.Context()); err != nil {
				t.Fatal(err)
			}
			w.cancel(4, 6)
			w.look(0)
			if _, known := w.known(uuid.MustParse(cancelID(0)), false); known {
				t.Error("no rest")
			}
			w.set.dropped = time.Now().Add(-cancelsRest)
			w.look(0)
			w.wants(false, false, false, false, true, true, false)
		})
	}
}
