package bodies_test

import (
	"context"
	"encoding/json"
	"errors"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/events/bodies"
)

// Whoever may put objects may write anything into the bucket. It is the object that was
// referred to or an error, and only subjects of single objects are asked for.
func FuzzGet(f *testing.F) {
	const object = `{"prompt":"Why is the sky blue?"}`
	ref := events.BodyRef{Bucket: "B", Name: "n", Size: len(object), Digest: events.BodyDigest([]byte(object))}
	good, err := json.Marshal(jetstream.ObjectInfo{ObjectMeta: jetstream.ObjectMeta{Name: "n"}, NUID: "u", Size: uint64(ref.Size), Digest: ref.Digest})
	if err != nil {
		f.Fatal(err)
	}
	f.Add(good, []byte(object))
	f.Add(good, []byte(`{"prompt":"another"}`))
	f.Add([]byte(strings.Replace(string(good), `"u"`, `"*"`, 1)), []byte(object))
	f.Add([]byte(strings.Replace(string(good), `"name":"n"`, `"name":"n","options":{"link":{"bucket":"B","name":"o"}}`, 1)), []byte(object))
	f.Add([]byte(`{"deleted":true}`), []byte{})
	f.Fuzz(func(t *testing.T, info, chunk []byte) {
		s := &bodies.Store{
			Bucket: "B", API: func(question string) string { return question },
			Request: func(_ context.Context, subject string, question []byte) (*nats.Msg, error) {
				var asked struct {
					Last string `json:"last_by_subj"`
					Next string `json:"next_by_subj"`
				}
				if err := json.Unmarshal(question, &asked); err != nil || subject != "DIRECT.GET.OBJ_B" || asked.Last == "" && (!strings.HasPrefix(asked.Next, "$O.B.C.") || strings.ContainsAny(asked.Next[7:], ".*> ")) {
					t.Fatalf("asked %s for %q", subject, question)
				}
				m := &nats.Msg{Header: nats.Header{jetstream.SubjectHeader: {"s"}, jetstream.SequenceHeader: {"1"}}, Data: chunk}
				if asked.Last != "" {
					m.Data = info
				}
				return m, nil
			},
		}
		got, err := s.Get(t.Context(), ref)
		switch {
		case err == nil && string(got) != object:
			t.Fatalf("got %q of info %q and chunk %q", got, info, chunk)
		case err != nil && !errors.Is(err, bodies.ErrMissing) && !errors.Is(err, bodies.ErrBroken):
			t.Fatalf("got error %v of info %q and chunk %q", err, info, chunk)
		}
	})
}
