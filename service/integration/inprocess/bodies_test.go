package inprocess_test

import (
	"encoding/base64"
	"encoding/json"
	"fmt"
	"maps"
	"strconv"
	"strings"
	"testing"

	"github.com/nats-io/nats-server/v2/server"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
	"gemini-client/service/config"
	"gemini-client/service/openrouter/simulator"
	"gemini-client/service/servicetest"
)

// bucket is the object store as any NATS client finds it.
func (b *bench) bucket() jetstream.ObjectStore {
	b.t.Helper()
	store, err := b.JS.ObjectStore(b.Context(), "GEMINI_BODIES")
	if err != nil {
		b.t.Fatal(err)
	}
	return store
}

// put stores an object for a request, and returns its reference as its fields.
func (b *bench) put(id, object string) map[string]any {
	b.t.Helper()
	info, err := b.bucket().PutString(b.Context(), id, object)
	if err != nil {
		b.t.Fatal(err)
	}
	return map[string]any{"bucket": info.Bucket, "name": info.Name, "size": info.Size, "digest": info.Digest}
}

// refer publishes a request by hand whose prompt is an object.
func (b *bench) refer(id string, ref, more map[string]any) {
	b.t.Helper()
	body := map[string]any{"request_id": id, "body_ref": ref}
	maps.Copy(body, more)
	text, err := json.Marshal(body)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.JS.Publish(b.Context(), b.Names.RequestQueue, text); err != nil {
		b.t.Fatal(err)
	}
}

// holds waits until the bucket holds so many objects.
func (b *bench) holds(n int) {
	b.t.Helper()
	b.Until(fmt.Sprintf("the bucket holds %d objects", n), func() (string, bool) {
		list, _ := b.bucket().List(b.Context()) // none is an error
		return fmt.Sprint(len(list)), len(list) == n
	})
}

// A backend in any language: an object store and JSON by hand, nothing of ours. A prompt
// of 20 MB goes through a server with a max_payload of 1 MB, and an answer of 3 MB back.
func TestLargeByTheDocumentedFieldsAlone(t *testing.T) {
	t.Parallel()
	n := servicetest.RunNATS(t, func(o *server.Options) { o.MaxPayload = 1 << 20 })
	b := setupOn(t, n, servicetest.RunOpenRouter(t, simulator.Config{}))
	b.start()
	id := servicetest.NewID()
	prompt, err := json.Marshal(map[string]string{"prompt": "[sim:huge bytes=3000000]" + strings.Repeat("word ", 4_000_000)})
	if err != nil {
		t.Fatal(err)
	}
	b.refer(id, b.put(id, string(prompt)), map[string]any{"metadata": map[string]int{"n": 1}})
	stored := b.Result(id)
	var event struct {
		Status   string         `json:"status"`
		Content  *string        `json:"content"`
		Error    *string        `json:"error"`
		Usage    map[string]any `json:"usage"`
		Metadata map[string]int `json:"metadata"`
		Ref      struct {
			Bucket string `json:"bucket"`
			Name   string `json:"name"`
			Size   uint64 `json:"size"`
			Digest string `json:"digest"`
			Note   string `json:"note"`
		} `json:"result_ref"`
	}
	if err := json.Unmarshal(stored.Body, &event); err != nil {
		t.Fatal(err)
	}
	if event.Status != "success" || event.Content != nil || event.Error != nil || event.Usage["completion_tokens"] == nil || event.Metadata["n"] != 1 || event.Ref.Note == "" {
		t.Errorf("the event: %s", stored.Body)
	}
	object, err := b.JS.ObjectStore(b.Context(), event.Ref.Bucket)
	if err != nil {
		t.Fatal(err)
	}
	info, err := object.GetInfo(b.Context(), event.Ref.Name)
	if err != nil || info.Size != event.Ref.Size || info.Digest != event.Ref.Digest {
		t.Fatalf("result_ref is %+v, the object store has %+v, %v", event.Ref, info, err)
	}
	text, err := object.GetBytes(b.Context(), event.Ref.Name)
	if err != nil {
		t.Fatal(err)
	}
	var whole struct {
		ID      string `json:"request_id"`
		Content string `json:"content"`
		Ref     any    `json:"result_ref"`
	}
	if err := json.Unmarshal(text, &whole); err != nil || whole.ID != id || len(whole.Content) != 3_000_000 || whole.Ref != nil {
		t.Errorf("the object: %d bytes, id %s, %d bytes of content, error %v", len(text), whole.ID, len(whole.Content), err)
	}
	if calls := b.openrouter.Calls(); len(calls) != 1 || len(calls[0].Prompt) < 20_000_000 {
		t.Errorf("%d calls", len(calls))
	}
	b.holds(1) // the prompt is deleted with its request
}

// What is missing or is not what was put fails once, names what is wrong, and is no dead
// letter. Nothing of another request is read or deleted.
func TestBrokenBodies(t *testing.T) {
	t.Parallel()
	b := setup(t)
	b.start()
	victim := servicetest.NewID()
	theirs := b.put(victim, `{"prompt":"a secret"}`)
	with := func(ref map[string]any, name string, value any) map[string]any {
		ref = maps.Clone(ref)
		ref[name] = value
		return ref
	}
	for name, tt := range map[string]struct {
		ref  func(id string) map[string]any
		says string
	}{
		"another's":        {func(string) map[string]any { return theirs }, "body_ref.name: is "},
		"another bucket":   {func(id string) map[string]any { return with(b.put(id, "{}"), "bucket", "OTHERS") }, "body_ref.bucket: is "},
		"never put":        {func(id string) map[string]any { return with(theirs, "name", id) }, "the object is not in the bucket"},
		"another size":     {func(id string) map[string]any { return with(b.put(id, "{}"), "size", 3) }, "the object is not what was put: the bucket has 2 bytes"},
		"another digest":   {func(id string) map[string]any { return with(b.put(id, "{}"), "digest", theirs["digest"]) }, "the object is not what was put"},
		"no prompt":        {func(id string) map[string]any { return b.put(id, "{}") }, "the object of body_ref: prompt: is missing"},
		"too large":        {func(id string) map[string]any { return with(b.put(id, "{}"), "size", events.MaxBody+1) }, "body_ref.size: is 67108865; give at most"},
		"chunks of others": {func(id string) map[string]any { return b.forge(id, ">", theirs) }, "is about something else"},
		"a link":           {func(id string) map[string]any { return b.link(id, victim) }, "is about something else"},
		"no chunks":        {func(id string) map[string]any { return b.forge(id, "none", theirs) }, "it ends after 0 of 21 bytes"},
	} {
		id := servicetest.NewID()
		b.refer(id, tt.ref(id), nil)
		r := b.Result(id).Result
		want := events.InvalidRequest
		if name == "too large" {
			want = events.PayloadTooLarge
		}
		if r.ErrorCode == nil || *r.ErrorCode != want || *r.Retryable || r.RetryCount != 0 || !strings.Contains(*r.Error, tt.says) || strings.Contains(*r.Error, "secret") {
			t.Errorf("%s: got %+v %q, want %q", name, r, *r.Error, tt.says)
		}
	}
	if n := b.State(b.Names.DeadlettersStream()).Msgs; n != 0 || b.openrouter.Count() != 0 {
		t.Errorf("%d dead letters, %d calls; want none", n, b.openrouter.Count())
	}
	if text, err := b.bucket().GetString(b.Context(), victim); err != nil || text != `{"prompt":"a secret"}` {
		t.Errorf("another's object: %q, %v", text, err)
	}
	if err := b.JS.DeleteObjectStore(b.Context(), "GEMINI_BODIES"); err != nil {
		t.Fatal(err)
	}
	id := servicetest.NewID()
	b.refer(id, with(theirs, "name", id), nil)
	if r := b.Result(id).Result; r.ErrorCode == nil || *r.ErrorCode != events.InvalidRequest || !strings.Contains(*r.Error, "gemini-client provision") {
		t.Errorf("no bucket: got %+v", r)
	}
}

// forge says by hand of an object what a hostile backend may say.
func (b *bench) forge(id, nuid string, ref map[string]any) map[string]any {
	b.t.Helper()
	mine := b.put(id, "x")
	info, err := b.bucket().GetInfo(b.Context(), id)
	if err != nil {
		b.t.Fatal(err)
	}
	info.NUID, info.Size, info.Digest = nuid, ref["size"].(uint64), ref["digest"].(string)
	b.overwrite(info)
	mine["size"], mine["digest"] = info.Size, info.Digest
	return mine
}

// link has an object be a link to another one.
func (b *bench) link(id, to string) map[string]any {
	b.t.Helper()
	theirs, err := b.bucket().GetInfo(b.Context(), to)
	if err != nil {
		b.t.Fatal(err)
	}
	info, err := b.bucket().AddLink(b.Context(), id, theirs)
	if err != nil {
		b.t.Fatal(err)
	}
	info.Size, info.Digest = theirs.Size, theirs.Digest
	b.overwrite(info)
	return map[string]any{"bucket": "GEMINI_BODIES", "name": id, "size": theirs.Size, "digest": theirs.Digest}
}

func (b *bench) overwrite(info *jetstream.ObjectInfo) {
	b.t.Helper()
	text, err := json.Marshal(info)
	if err != nil {
		b.t.Fatal(err)
	}
	if _, err := b.JS.Publish(b.Context(), "$O.GEMINI_BODIES.M."+base64.URLEncoding.EncodeToString([]byte(info.Name)), text); err != nil {
		b.t.Fatal(err)
	}
}

// A dead letter keeps its object, so that an operator can replay it; when that has an
// answer, the object goes.
func TestBodiesOfDeadLetters(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.RetryDelays, c.MaxRetries = []int{1}, 1 })
	b.start()
	id := servicetest.NewID()
	b.refer(id, b.put(id, `{"prompt":"[sim:503 times=6] and then well"}`), nil) // the attempts of two deliveries
	failed := b.Result(id)
	wantSubject(t, failed, events.Failed("gemini.responses", id))
	b.Idle()
	b.holds(1)
	letters := b.Stored(b.Names.DeadlettersStream())
	if len(letters) != 1 || !strings.Contains(string(letters[0].Body), `"body_ref"`) {
		t.Fatalf("dead letters: %v", letters)
	}
	m := nats.NewMsg(b.Names.Retries())
	m.Data = letters[0].Body
	last, err := b.mustStream(b.Names.ResponsesStream()).GetLastMsgForSubject(b.Context(), failed.Subject)
	if err != nil {
		t.Fatal(err)
	}
	m.Header[events.HeaderReplay] = []string{strconv.FormatUint(last.Sequence, 10)}
	if _, err := b.JS.PublishMsg(b.Context(), m); err != nil {
		t.Fatal(err)
	}
	b.Collect(b.Names.ResponsesStream(), events.Completed("gemini.responses", id), 1)
	b.holds(0)
	b.refer(id, map[string]any{"bucket": "GEMINI_BODIES", "name": id, "size": 1, "digest": events.BodyDigest(nil)}, nil)
	b.Idle() // a copy of what is answered is dropped before anything is fetched
	if n := len(b.Results()); n != 2 {
		t.Errorf("%d results, want the failed and the completed one", n)
	}
}

// Objects wait for the memory budget, which has room for one of them at a time, and small
// requests behind them are answered.
func TestBodiesWaitForMemory(t *testing.T) {
	t.Parallel()
	b := setup(t, func(c *config.Config) { c.MemoryBudget, c.Concurrency = 32<<20, 50 })
	b.start()
	var ids []string
	for i := range 12 {
		id := servicetest.NewID()
		ids = append(ids, id)
		b.refer(id, b.put(id, fmt.Sprintf(`{"prompt":"%d %s"}`, i, strings.Repeat("p", 3<<20))), nil)
	}
	ids = append(ids, b.Ask("small", nil))
	for _, id := range ids {
		wantSubject(t, b.Result(id), events.Completed("gemini.responses", id))
	}
	b.holds(0)
}
