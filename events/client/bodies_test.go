package client_test

import (
	"errors"
	"fmt"
	"strings"
	"testing"
	"time"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/events/client"
	"gemini-client/events/client/clienttest"
	"gemini-client/service/servicetest"
)

// large has the simulator answer with 3 MiB.
const large = "[sim:huge bytes=3145728]"

// objects are the names in the bucket.
func objects(t *testing.T, js jetstream.JetStream) (names []string) {
	t.Helper()
	store, err := js.ObjectStore(t.Context(), events.DefaultNames().BodiesBucket())
	if err != nil {
		t.Fatal(err)
	}
	list, err := store.List(t.Context())
	if err != nil && !errors.Is(err, jetstream.ErrNoObjectsFound) {
		t.Fatal(err)
	}
	for _, o := range list {
		names = append(names, o.Name)
	}
	return names
}

// A prompt of 20 MB goes in and an answer of 3 MB comes back, on a server whose messages
// have 1 MB at most; each way of reading gives the whole result.
func TestLargeBodies(t *testing.T) {
	t.Parallel()
	nc := clienttest.Start(t)
	if nc.MaxPayload() != 1<<20 {
		t.Fatalf("max_payload: got %d, want 1 MiB", nc.MaxPayload())
	}
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, nc)
	h := submit(t, c, events.Request{Prompt: large + strings.Repeat("p", 20<<20), Metadata: []byte(`{"n":1}`)})
	whole := func(how string, r events.Result, err error) {
		t.Helper()
		if err != nil || r.Content == nil || len(*r.Content) != 3<<20 || string(r.Metadata) != `{"n":1}` || r.ResultRef != nil {
			t.Errorf("%s: got an answer: %v, metadata %s, error %v", how, r.Content != nil, r.Metadata, err)
		}
	}
	r, err := h.Result(soon(t))
	whole("Result", r, err)
	again, err := newClient(t, nc, client.WithLiveResults()).Open(h.ID())
	if err != nil {
		t.Fatal(err)
	}
	r, there, err := again.Stored(soon(t))
	if whole("Stored", r, err); !there {
		t.Error("the result is not stored")
	}
	if _, err := js.CreateConsumer(t.Context(), "GEMINI_RESPONSES", jetstream.ConsumerConfig{Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy}); err != nil {
		t.Fatal(err)
	}
	for r, err := range c.Results(soon(t), "reader") {
		whole("Results", r.Result, err)
		break
	}
	(&servicetest.Backend{T: t, NC: nc, JS: js}).Until("the prompt is deleted with its request, and the result stays", func() (string, bool) {
		names := objects(t, js)
		return strings.Join(names, " "), len(names) == 1 && strings.HasPrefix(names[0], "result/"+h.ID()+"/")
	})
	s, err := js.Stream(t.Context(), "OBJ_GEMINI_BODIES")
	if err != nil {
		t.Fatal(err)
	}
	if bytes := s.CachedInfo().State.Bytes; bytes > 4<<20 {
		t.Errorf("the bucket has %d bytes, want those of the result", bytes)
	}
}

// What can not be put or read says so at once, and how to mend it.
func TestLargeBodiesWithoutBucket(t *testing.T) {
	t.Parallel()
	nc := clienttest.Start(t)
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	c := newClient(t, nc)
	small := submit(t, c, events.Request{Prompt: large})
	if _, err := small.Result(soon(t)); err != nil {
		t.Fatal(err)
	}
	for _, name := range objects(t, js) {
		store, err := js.ObjectStore(t.Context(), "GEMINI_BODIES")
		if err != nil {
			t.Fatal(err)
		}
		if err := store.Delete(t.Context(), name); err != nil {
			t.Fatal(err)
		}
	}
	r, err := small.Result(soon(t))
	if !errors.Is(err, client.ErrNoBody) || r.Content != nil || r.Usage == nil || r.ResultRef == nil {
		t.Errorf("the object is gone: got %+v, %v", r, err)
	}
	if err := js.DeleteStream(t.Context(), "OBJ_GEMINI_BODIES"); err != nil {
		t.Fatal(err)
	}
	much := events.Request{Prompt: strings.Repeat("p", 2<<20)}
	if _, err := c.Submit(soon(t), much); !errors.Is(err, client.ErrTooLarge) || !errors.Is(err, client.ErrNoBodies) {
		t.Errorf("no bucket: got %v", err)
	}
	var failed *client.FailedError
	if _, err := submit(t, c, events.Request{Prompt: large}).Result(soon(t)); !errors.As(err, &failed) || failed.Code != events.PayloadTooLarge || failed.Result.Usage == nil {
		t.Errorf("an answer that has nowhere to go: got %v", err)
	}
	much.Prompt = strings.Repeat("p", events.MaxBody)
	if _, err := c.Submit(soon(t), much); !errors.Is(err, client.ErrTooLarge) || errors.Is(err, client.ErrNoBodies) {
		t.Errorf("larger than any object: got %v", err)
	}
	much = events.Request{Prompt: "hello", SystemInstruction: strings.Repeat("s", 2<<20)}
	if _, err := c.Submit(soon(t), much); !errors.Is(err, client.ErrTooLarge) || errors.Is(err, client.ErrNoBodies) {
		t.Errorf("too large beside its prompt: got %v", err)
	}
}

// Many large ones, one of which is tried again later, are each answered.
func TestManyLargeBodies(t *testing.T) {
	t.Parallel()
	c := newClient(t, clienttest.Start(t))
	var requests []events.Request
	for i := range 8 {
		requests = append(requests, events.Request{Prompt: fmt.Sprint("question ", i) + strings.Repeat("p", 2<<20)})
	}
	requests[0].Prompt = "[sim:503 times=3] " + requests[0].Prompt // the attempts of one delivery
	for i, s := range c.SubmitMany(soon(t), requests) {
		if s.Err != nil {
			t.Fatal(s.Err)
		}
		r, err := s.Handle.Result(soon(t))
		if want := map[int]int{0: 1}[i]; err != nil || r.RetryCount != want {
			t.Errorf("%d: got %d retries, %v", i, r.RetryCount, err)
		}
	}
}

// shelf is a server with results by reference that a test puts there by hand.
type shelf struct {
	*servicetest.NATS
	t     *testing.T
	js    jetstream.JetStream
	store jetstream.ObjectStore
}

// stranger is a user who may not read the object store.
func stranger(o *server.Options) {
	deny := &server.SubjectPermission{Deny: []string{"$JS.API.DIRECT.GET.OBJ_GEMINI_BODIES"}}
	o.Users = []*server.User{{Username: "stranger", Password: "x", Permissions: &server.Permissions{Publish: deny}}, {Username: "admin", Password: "a"}}
	o.NoAuthUser = "admin"
}

func newShelf(t *testing.T) *shelf {
	t.Helper()
	n := servicetest.RunNATS(t, stranger)
	s := &shelf{NATS: n, t: t, js: n.JetStream()}
	_, err := s.js.CreateStream(t.Context(), jetstream.StreamConfig{Name: "GEMINI_RESPONSES", Subjects: []string{"gemini.responses.>"}, AllowDirect: true})
	if err != nil {
		t.Fatal(err)
	}
	if s.store, err = s.js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "GEMINI_BODIES"}); err != nil {
		t.Fatal(err)
	}
	return s
}

// put puts a result as an object.
func (s *shelf) put(name string, r events.Result) *events.BodyRef {
	s.t.Helper()
	body, err := r.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	info, err := s.store.PutBytes(s.t.Context(), name, body)
	if err != nil {
		s.t.Fatal(err)
	}
	return &events.BodyRef{Bucket: info.Bucket, Name: name, Size: len(body), Digest: info.Digest}
}

// publish publishes a result that refers to an object.
func (s *shelf) publish(r events.Result, ref *events.BodyRef) {
	s.t.Helper()
	r.Content, r.ResultRef = nil, ref
	body, err := r.Encode()
	if err != nil {
		s.t.Fatal(err)
	}
	if _, err := s.js.Publish(s.t.Context(), r.Subject("gemini.responses"), body); err != nil {
		s.t.Fatal(err)
	}
}

// A result's reference is followed to what the service made for it and nowhere else.
func TestResultsThatAreNone(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	c := newClient(t, s.Connect())
	id, other := servicetest.NewID(), servicetest.NewID()
	result := events.Request{ID: id}.Completed("hello", time.Now())
	whole := s.put(events.ResultBodyName(id, "x"), result)
	again, changed, bucket := result, *whole, *whole
	again.ResultRef, changed.Digest, bucket.Bucket = whole, events.BodyDigest(nil), "OTHERS"
	for name, ref := range map[string]*events.BodyRef{
		"whole":          whole,
		"elsewhere":      s.put(other+"/x", result),
		"another's":      s.put(events.ResultBodyName(id, "y"), events.Request{ID: other}.Completed("secret", time.Now())),
		"changed":        &changed,
		"another bucket": &bucket,
		"a reference":    s.put(events.ResultBodyName(id, "z"), again),
	} {
		s.publish(result, ref)
		h, err := c.Open(id)
		if err != nil {
			t.Fatal(err)
		}
		r, err := h.Result(soon(t))
		switch {
		case name == "whole" && (err != nil || *r.Content != "hello"):
			t.Errorf("got %+v, %v", r, err)
		case name != "whole" && (!errors.Is(err, client.ErrNoBody) || r.Content != nil || r.RequestID != id):
			t.Errorf("%s: got %+v, %v", name, r, err)
		}
	}
}

// A result whose object cannot be read yet is not acknowledged, and comes again.
func TestResultThatCannotBeRead(t *testing.T) {
	t.Parallel()
	s := newShelf(t)
	reader := jetstream.ConsumerConfig{Durable: "reader", AckPolicy: jetstream.AckExplicitPolicy, AckWait: 100 * time.Millisecond}
	if _, err := s.js.CreateConsumer(t.Context(), "GEMINI_RESPONSES", reader); err != nil {
		t.Fatal(err)
	}
	id := servicetest.NewID()
	result := events.Request{ID: id}.Completed("hello", time.Now())
	s.publish(result, s.put(events.ResultBodyName(id, "x"), result))
	for r, err := range newClient(t, s.Connect(nats.UserInfo("stranger", "x"))).Results(soon(t), "reader") {
		if !errors.Is(err, client.ErrNotAllowed) || errors.Is(err, client.ErrNoBody) {
			t.Errorf("got %+v, %v", r, err)
		}
	}
	for r, err := range newClient(t, s.Connect()).Results(soon(t), "reader") {
		if err != nil || *r.Content != "hello" {
			t.Errorf("got %+v, %v", r, err)
		}
		break
	}
}
