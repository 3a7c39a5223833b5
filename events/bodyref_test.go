package events_test

import (
	"encoding/json"
	"errors"
	"fmt"
	"strings"
	"testing"

	"github.com/google/go-cmp/cmp"

	"gemini-client/events"
)

// bodyRef is a reference of someID's request to an object.
func bodyRef(object string) *events.BodyRef {
	digest := events.BodyDigest([]byte(object))
	return &events.BodyRef{Bucket: "GEMINI_BODIES", Name: someID + "/" + strings.TrimPrefix(digest, "SHA-256="), Size: len(object), Digest: digest}
}

// ofAnother is a reference of another request to the same object.
func ofAnother(b *events.BodyRef, id string) *events.BodyRef {
	b.Name = strings.Replace(b.Name, someID, id, 1)
	return b
}

// ownBody is what a worker relies on: whatever the body was, it reads and deletes
// nothing that is another request's, or a result.
func ownBody(r events.Request) bool {
	rest := r.BodyRef.Name[min(len(r.ID), len(r.BodyRef.Name)):]
	return strings.HasPrefix(strings.ToLower(r.BodyRef.Name), events.CanonicalID(r.ID)) && (rest == "" || rest[0] == '/') &&
		!strings.ContainsAny(rest, "*> \x00") && r.BodyRef.Bucket == "GEMINI_BODIES" && r.BodyRef.Size > 0 && len(r.BodyRef.Name) < 256
}

func TestBodyRef(t *testing.T) {
	t.Parallel()
	own := *bodyRef("x")
	for name, change := range map[string]func(*events.BodyRef){
		"as the library names it": func(*events.BodyRef) {},
		"the id alone":            func(b *events.BodyRef) { b.Name = someID },
		"upper case":              func(b *events.BodyRef) { b.Name = strings.ToUpper(someID) + "/Prompt_1.json" },
		"the largest":             func(b *events.BodyRef) { b.Size = events.MaxBody },
	} {
		ref := own
		change(&ref)
		text, err := json.Marshal(ref)
		if err != nil {
			t.Fatal(err)
		}
		if r := decode(t, body(`"body_ref":`+string(text))); cmp.Diff(&ref, r.BodyRef) != "" || r.Prompt != "" || r.Messages != nil {
			t.Errorf("%s: got %+v, want %+v", name, r.BodyRef, ref)
		}
	}
}

func TestBodyRefBroken(t *testing.T) {
	t.Parallel()
	const other = "0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3b"
	const mayBe = "; name the object by the request_id, or by that, a slash and up to 200 of A-Z, a-z, 0-9, . _ = / and -"
	const asPut = "; give what the object store returned when the object was put"
	const digest = "; give \"SHA-256=\" and the SHA-256 of the object in base64url with padding"
	schema := compile(t, requestSchema)
	own := bodyRef("x")
	for name, tt := range map[string]struct {
		old, replacement, want string
		inSchema, kept         bool
	}{
		"another's":            {someID + "/", other + "/", `body_ref.name: is "` + other + `/LXE"…` + mayBe, false, false},
		"a result's":           {someID + "/", "result/" + someID + "/", `body_ref.name: is "result/` + someID[:33] + `"…` + mayBe, true, false},
		"id and more":          {someID + "/", someID + "x/", `body_ref.name: is "` + someID + `x/LX"…` + mayBe, true, false},
		"a wildcard":           {someID + "/", someID + "/>", `body_ref.name: is "` + someID + `/>LX"…` + mayBe, true, false},
		"a control code":       {someID + "/", someID + `/\u0000`, `body_ref.name: is "` + someID + `/\x00LX"…` + mayBe, true, false},
		"too long a name":      {someID + "/", someID + "/" + strings.Repeat("a", 200), `body_ref.name: is "` + someID + `/aaa"…` + mayBe, true, false},
		"no name":              {`"` + own.Name + `"`, `""`, `body_ref.name: is ""` + mayBe, true, false},
		"name a number":        {`"` + own.Name + `"`, `1`, `body_ref.name: is 1; give a string`, true, false},
		"another bucket":       {"GEMINI_BODIES", "SECRETS", `body_ref.bucket: is "SECRETS"; put the object into "GEMINI_BODIES"`, false, false},
		"without a bucket":     {`"bucket"`, `"Bucket"`, `body_ref.bucket: is missing` + asPut, true, false},
		"size 0":               {`"size":1`, `"size":0`, `body_ref.size: is 0; give an integer from 1 to 2147483647`, true, false},
		"size beyond measure":  {`"size":1`, `"size":1e99`, `body_ref.size: is 1e99; give an integer from 1 to 2147483647`, true, false},
		"size a fraction":      {`"size":1`, `"size":1.5`, `body_ref.size: is 1.5; give an integer from 1 to 2147483647`, true, false},
		"too large":            {`"size":1`, `"size":67108865`, `body_ref.size: is 67108865; give at most 67108864`, false, true},
		"digest in hex":        {own.Digest, strings.Repeat("ab", 32), `body_ref.digest: is "` + strings.Repeat("ab", 20) + `"…` + digest, true, false},
		"digest of other form": {"SHA-256=", "MD5=", `body_ref.digest: is "MD5=` + own.Digest[8:44] + `"…` + digest, true, false},
		"twice":                {`"size":1`, `"size":1,"size":1`, `body_ref.size: is given more than once; give it once`, false, false},
		"a prompt too":         {`"body_ref"`, `"prompt":"Hi","body_ref"`, `prompt and body_ref: are both given; give one of them`, true, true},
		"messages too":         {`"body_ref"`, `"messages":[{"role":"user"}],"body_ref"`, `messages and body_ref: are both given; give one of them`, true, true},
		"a string":             {`"body_ref":{`, `"body_ref":"x","x":{`, `body_ref: is the string "x"; give an object with bucket, name, size and digest, or leave it out`, true, false},
		"null":                 {`"body_ref":{`, `"body_ref":null,"x":{`, `prompt: is missing; give a string of at least 1 character, or messages`, true, false},
	} {
		ref, err := json.Marshal(own)
		if err != nil {
			t.Fatal(err)
		}
		text := strings.Replace(body(`"body_ref":`+string(ref)), tt.old, tt.replacement, 1)
		request, failure := decodeFailure(t, rules(), text)
		code := events.InvalidRequest
		if name == "too large" {
			code = events.PayloadTooLarge
		}
		if failure.Message != tt.want || failure.Code != code {
			t.Errorf("%s: Decode(%s)\n got %v\nwant %s", name, text, failure, tt.want)
		}
		if (request.BodyRef != nil) != tt.kept { // the object goes with the request, if it is the request's
			t.Errorf("%s: Decode(%s) beside a failure: got %+v, want one: %v", name, text, request.BodyRef, tt.kept)
		}
		if name == "twice" {
			continue // the validator's own reading of JSON comes first
		}
		if err := validate(t, schema, []byte(text)); (err != nil) != tt.inSchema {
			t.Errorf("%s: %s\n got %v from the schema\nwant it refused: %v", name, text, err, tt.inSchema)
		}
	}
}

// What is split is the same request again with its object.
func TestSplitBody(t *testing.T) {
	t.Parallel()
	for _, sent := range []string{asked(), body(`"prompt":"\u2028 <b>\n\ud83d\ude42"`), body(`"messages":[ {"role":"user","content":"Hi"} ]`)} {
		want := decode(t, sent)
		rest, object := want.SplitBody()
		rest.BodyRef = bodyRef(string(object))
		if err := rest.BodyRef.Matches(object); err != nil {
			t.Errorf("%s: %v", object, err)
		}
		got, err := rest.WithBody(object)
		got.BodyRef = nil
		if diff := cmp.Diff(want, got); diff != "" || err != nil || rest.Prompt != "" || rest.Messages != nil {
			t.Errorf("WithBody(%s): -want +got, error %v\n%s", object, err, diff)
		}
	}
	for _, not := range []string{"", "{", `{"prompt":"Hj"}`} {
		if err := bodyRef(`{"prompt":"Hi"}`).Matches([]byte(not)); err == nil {
			t.Errorf("%q matches", not)
		}
	}
}

// An object breaks the same rules as an event, and its content is in no text.
func TestWithBodyBroken(t *testing.T) {
	t.Parallel()
	for object, want := range map[string]string{
		"":                               "the body is not JSON at offset 0 of 0",
		`"` + secret + `"`:               "the body is a string, not an object",
		`{"prompt":"` + secret + `"} {}`: "body: goes on after the object; put one object alone",
		"{\"prompt\":\"\xff\"}":          "body: is not UTF-8 at offset 11; put UTF-8",
		`{"prompt":""}`:                  "prompt: is empty; give at least 1 character",
		`{}`:                             "prompt: is missing; give a string of at least 1 character, or messages",
		`{"prompt":"a","messages":[{"role":"user"}]}`:                              "prompt and messages: are both given; give one of them",
		`{"messages":["` + secret + `"]}`:                                          "messages[0]: is a string; give an object with a role",
		`{"messages":` + strings.Repeat("[", 200) + strings.Repeat("]", 200) + `}`: fmt.Sprintf("messages: is nested 200 levels deep; nest at most %d", events.MaxDepth),
	} {
		_, err := events.Request{ID: someID}.WithBody([]byte(object))
		if want := (events.Failure{Code: events.InvalidRequest, Message: "the object of body_ref: " + want}); !errors.Is(err, want) {
			t.Errorf("WithBody(%s)\n got %v\nwant %v", cut(object), err, want)
		}
	}
}

func TestOfResult(t *testing.T) {
	const anID = "0190f5a1-7c3e-7b1a-9a55-2f6e1c0d4b3b"
	t.Parallel()
	for name, want := range map[string]bool{
		events.ResultBodyName(strings.ToUpper(someID), "x"): true,
		"result/" + anID + "/x":                             false,
		someID + "/x":                                       false,
	} {
		ref := events.BodyRef{Bucket: "B", Name: name, Size: 1}
		if ref.OfResult("B", someID) != want || ref.OfResult("C", someID) {
			t.Errorf("%s is a result's: want %v, in its bucket alone", name, want)
		}
		if ref.Size = events.MaxBody + 1; ref.OfResult("B", someID) {
			t.Error("a result larger than any is read")
		}
	}
}

// The same id on two callbacks is two requests, and each deletes its object.
func TestRequestBodyNames(t *testing.T) {
	t.Parallel()
	digest := events.BodyDigest([]byte("object"))
	name := events.RequestBodyName(someID, "a", digest)
	if name != events.RequestBodyName(strings.ToUpper(someID), "a", digest) {
		t.Error("the same request has two names")
	}
	if name == events.RequestBodyName(someID, "b", digest) || name == events.RequestBodyName(someID, "a", events.BodyDigest([]byte("another"))) {
		t.Error("two requests have one name")
	}
}
