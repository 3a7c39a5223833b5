package bodies_test

import (
	"bytes"
	"context"
	"crypto/rand"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/events/bodies"
	"gemini-client/service/servicetest"
)

func TestMain(m *testing.M) { servicetest.VerifyTestMain(m) }

// bench is a bucket that nats.go's own object store made, beside ours.
type bench struct {
	*bodies.Store
	theirs jetstream.ObjectStore
	js     jetstream.JetStream
	stored int // messages
}

func setup(t *testing.T) *bench {
	t.Helper()
	nc := servicetest.RunNATS(t).Connect()
	js, err := jetstream.New(nc)
	if err != nil {
		t.Fatal(err)
	}
	theirs, err := js.CreateObjectStore(t.Context(), jetstream.ObjectStoreConfig{Bucket: "B"})
	if err != nil {
		t.Fatal(err)
	}
	b := &bench{theirs: theirs, js: js}
	b.Store = &bodies.Store{
		Bucket: "B", API: func(question string) string { return "$JS.API." + question },
		Chunk: func() int { return bodies.ChunkSize(nc.MaxPayload()) },
		Request: func(ctx context.Context, subject string, question []byte) (*nats.Msg, error) {
			return nc.RequestWithContext(ctx, subject, question)
		},
		Publish: func(ctx context.Context, m *nats.Msg) error {
			b.stored++
			_, err := js.PublishMsg(ctx, m)
			return err
		},
	}
	return b
}

func some(t *testing.T, size int) []byte {
	t.Helper()
	object := make([]byte, size)
	_, _ = rand.Read(object) // never fails
	return object
}

// What nats.go's object store puts is read here, and the other way round; both delete
// what the other put.
func TestStoresUnderstandEachOther(t *testing.T) {
	t.Parallel()
	b := setup(t)
	for _, size := range []int{1, 128 << 10, 512 << 10, 512<<10 + 1, 3 << 20} {
		object := some(t, size)
		ref, err := b.Put(t.Context(), "ours/and theirs", object)
		if err != nil {
			t.Fatal(err)
		}
		if got, err := b.theirs.GetBytes(t.Context(), ref.Name); err != nil || !bytes.Equal(got, object) {
			t.Errorf("%d bytes: nats.go reads %d, %v", size, len(got), err)
		}
		info, err := b.theirs.PutBytes(t.Context(), "theirs", object)
		if err != nil {
			t.Fatal(err)
		}
		if want := (events.BodyRef{Bucket: "B", Name: "ours/and theirs", Size: int(info.Size), Digest: info.Digest}); ref != want {
			t.Errorf("%d bytes: the reference is %+v, nats.go has %+v", size, ref, want)
		}
		ref.Name = "theirs"
		if got, err := b.Get(t.Context(), ref); err != nil || !bytes.Equal(got, object) {
			t.Errorf("%d bytes: we read %d, %v", size, len(got), err)
		}
	}
	for _, err := range []error{b.Delete(t.Context(), "ours/and theirs"), b.theirs.Delete(t.Context(), "theirs"), b.Delete(t.Context(), "theirs"), b.Delete(t.Context(), "never")} {
		if err != nil {
			t.Error(err)
		}
	}
	if _, err := b.theirs.List(t.Context()); !errors.Is(err, jetstream.ErrNoObjectsFound) {
		t.Errorf("objects are left: %v", err)
	}
	if _, err := b.Get(t.Context(), events.BodyRef{Name: "theirs", Size: 1}); !errors.Is(err, bodies.ErrMissing) {
		t.Errorf("it is deleted: %v", err)
	}
}

// The same object is put once, and another one under its name replaces it.
func TestPutAgain(t *testing.T) {
	t.Parallel()
	b := setup(t)
	object := some(t, 1<<20)
	for range 2 {
		if _, err := b.Put(t.Context(), "x", object); err != nil {
			t.Fatal(err)
		}
	}
	if b.stored != 3 {
		t.Errorf("%d messages were stored, want two chunks and what is said of them", b.stored)
	}
	object[0]++
	ref, err := b.Put(t.Context(), "x", object)
	if err != nil {
		t.Fatal(err)
	}
	if got, err := b.Get(t.Context(), ref); err != nil || !bytes.Equal(got, object) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// A copy of the stream that lags behind has nothing yet: the leader is asked before
// something is said to be missing.
func TestCopyThatLags(t *testing.T) {
	t.Parallel()
	b := setup(t)
	object := some(t, 1<<20)
	ref, err := b.Put(t.Context(), "x", object)
	if err != nil {
		t.Fatal(err)
	}
	ask := b.Request
	b.Request = func(ctx context.Context, subject string, question []byte) (*nats.Msg, error) {
		if strings.Contains(subject, "DIRECT.GET") {
			return &nats.Msg{Header: nats.Header{"Status": {"404"}}}, nil
		}
		return ask(ctx, subject, question)
	}
	if got, err := b.Get(t.Context(), ref); err != nil || !bytes.Equal(got, object) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// An object that is put again while it is read is read again.
func TestGetWhileItChanges(t *testing.T) {
	t.Parallel()
	b := setup(t)
	object := some(t, 1<<20)
	info, err := b.theirs.PutBytes(t.Context(), "x", object)
	if err != nil {
		t.Fatal(err)
	}
	ref := events.BodyRef{Bucket: "B", Name: "x", Size: len(object), Digest: info.Digest}
	ask, changed := b.Request, false
	b.Request = func(ctx context.Context, subject string, question []byte) (*nats.Msg, error) {
		if bytes.Contains(question, []byte("next_by_subj")) && !changed {
			changed = true
			if _, err := b.theirs.PutBytes(ctx, "x", object); err != nil { // purges the old chunks
				t.Error(err)
			}
		}
		return ask(ctx, subject, question)
	}
	if got, err := b.Get(t.Context(), ref); err != nil || !bytes.Equal(got, object) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// Whatever the bucket says of an object, it is what was referred to or it is broken.
func TestBrokenObjects(t *testing.T) {
	t.Parallel()
	b := setup(t)
	object := some(t, 1<<20)
	info, err := b.theirs.PutBytes(t.Context(), "x", object)
	if err != nil {
		t.Fatal(err)
	}
	s, err := b.js.Stream(t.Context(), "OBJ_B")
	if err != nil {
		t.Fatal(err)
	}
	want := func(size int, says string) {
		t.Helper()
		text := fmt.Sprintf(`{"name":"x","bucket":"B","nuid":%q,"size":%d,"digest":%q}`, info.NUID, size, info.Digest)
		if _, err := b.js.Publish(t.Context(), "$O.B.M.eA==", []byte(text)); err != nil {
			t.Fatal(err)
		}
		_, err := b.Get(t.Context(), events.BodyRef{Bucket: "B", Name: "x", Size: size, Digest: info.Digest})
		if !errors.Is(err, bodies.ErrBroken) || !strings.Contains(err.Error(), says) {
			t.Errorf("got %v, want %s", err, says)
		}
	}
	want(len(object)+1, "ends after 1048576 of 1048577 bytes")
	want(len(object)-1, "goes on after its 1048575 bytes")
	if err := s.Purge(t.Context(), jetstream.WithPurgeSubject("$O.B.C."+info.NUID)); err != nil {
		t.Fatal(err)
	}
	want(len(object), "ends after 0 of 1048576 bytes")
	for range 2 {
		if _, err := b.js.Publish(t.Context(), "$O.B.C."+info.NUID, object[:len(object)/2]); err != nil {
			t.Fatal(err)
		}
	}
	want(len(object), "its bytes have the digest")
	if _, err := b.js.Publish(t.Context(), "$O.B.M.eA==", []byte("no JSON")); err != nil {
		t.Fatal(err)
	}
	if _, err := b.Get(t.Context(), events.BodyRef{Name: "x", Size: 1}); !errors.Is(err, bodies.ErrBroken) {
		t.Errorf("no JSON: %v", err)
	}
}

// What is left of an object that found no room is removed: the room is there for others.
func TestNothingIsLeftOfWhatFoundNoRoom(t *testing.T) {
	t.Parallel()
	b := setup(t)
	s, err := b.js.Stream(t.Context(), "OBJ_B")
	if err != nil {
		t.Fatal(err)
	}
	c := s.CachedInfo().Config
	c.MaxBytes = 3 << 20
	if _, err := b.js.UpdateStream(t.Context(), c); err != nil {
		t.Fatal(err)
	}
	for range 3 {
		if _, err := b.Put(t.Context(), "too large", some(t, 5<<20)); err == nil {
			t.Fatal("5 MiB were put into 3")
		}
	}
	object := some(t, 2<<20)
	ref, err := b.Put(t.Context(), "fits", object)
	if err != nil {
		t.Fatalf("2 MiB into what is left: %v", err)
	}
	if got, err := b.Get(t.Context(), ref); err != nil || !bytes.Equal(got, object) {
		t.Errorf("got %d bytes, %v", len(got), err)
	}
}

// Each chunk is a round trip, so an object in tiny ones is refused.
func TestTinyChunks(t *testing.T) {
	t.Parallel()
	b := setup(t)
	object := some(t, 9<<10)
	for size, want := range map[uint32]error{1 << 10: bodies.ErrBroken, 4 << 10: nil} {
		name := fmt.Sprint(size)
		if _, err := b.theirs.Put(t.Context(), jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: size}}, bytes.NewReader(object)); err != nil {
			t.Fatal(err)
		}
		ref := events.BodyRef{Bucket: "B", Name: name, Size: len(object), Digest: events.BodyDigest(object)}
		if got, err := b.Get(t.Context(), ref); !errors.Is(err, want) || want == nil && !bytes.Equal(got, object) {
			t.Errorf("chunks of %d bytes: got %d bytes, %v, want %v", size, len(got), err, want)
		}
	}
}
