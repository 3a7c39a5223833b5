package events

import (
	"crypto/sha256"
	"encoding/base64"
	"fmt"
	"math"
	"slices"
	"strings"
	"unicode/utf8"

	"gemini-client/events/jsonscan"
)

// BodyRef names an object in the bucket of large bodies, a NATS object store
// (ADR-20): what an event refers to that is too large for a message. Bucket, Name,
// Size and Digest are the members of the same names in the information that every
// NATS client returns when it has put an object.
//
// A request's object holds what the event lacks, as JSON: {"prompt":"…"} or
// {"messages":[…]}; other members of it are ignored. A result's object is the whole
// result event, byte for byte as it would have been published.
type BodyRef struct {
	// Bucket is Names.BodiesBucket.
	Bucket string `json:"bucket"`
	// Name is the object's. A request's begins with its request_id: see Names.
	Name string `json:"name"`
	// Size is how many bytes the object has.
	Size int `json:"size"`
	// Digest is "SHA-256=" and the SHA-256 of the object's bytes in base64url with padding.
	Digest string `json:"digest"`
	// Note is a sentence for people who read the event and know nothing of references.
	Note string `json:"note,omitempty"`
}

// MaxBody bounds the objects that a BodyRef may name. Beyond it no message is, either:
// nats-server takes a max_payload of 64 MiB at most.
const MaxBody = 64 << 20

// maxBodySuffix bounds what follows the id in a name.
const maxBodySuffix = 200

// resultBodies begins the names of results' objects, lest a request can name one.
const resultBodies = "result/"

// NoteResultRef is the Note of a result.
const NoteResultRef = "The answer is larger than a message may be: this result, whole, is the JSON in the object that result_ref names."

const digestPrefix = "SHA-256="

// BodyDigest is the Digest of an object with these bytes.
func BodyDigest(object []byte) string {
	sum := sha256.Sum256(object)
	return digestPrefix + base64.URLEncoding.EncodeToString(sum[:])
}

// RequestBodyName is the name of a request's object: the same for the same bytes and
// callback, so that a request which is sent again puts no second one. The same id on
// another callback is another request, and has an object of its own: each goes when its
// request is settled.
func RequestBodyName(id, callback, digest string) string {
	return CanonicalID(id) + "/" + strings.TrimPrefix(BodyDigest([]byte(callback+" "+digest)), digestPrefix)
}

// ResultBodyName is the name of the object of a result. unique tells it from that of
// another worker that answers the same request.
func ResultBodyName(id, unique string) string { return resultBodies + CanonicalID(id) + "/" + unique }

// ofRequest reports whether a name may be that of a request's object: its id, or its
// id, a slash and at most 200 letters, digits and any of ._=/- behind that. So
// nobody has a worker read or delete by mistake what belongs to another request. Who may
// write to the bucket can: what it says of an object names the chunks.
func (b BodyRef) ofRequest(id string) bool {
	n := min(len(id), len(b.Name))
	rest := b.Name[n:]
	if !strings.EqualFold(b.Name[:n], id) || rest != "" && rest[0] != '/' || len(rest) > 1+maxBodySuffix {
		return false
	}
	return !strings.ContainsFunc(rest, func(r rune) bool { return !isToken(string(r)) && !strings.ContainsRune("._=/-", r) })
}

// OfResult reports whether a reference is one that a worker makes for the result of
// a request, to an object of this bucket.
func (b BodyRef) OfResult(bucket, id string) bool {
	return b.Bucket == bucket && strings.HasPrefix(b.Name, ResultBodyName(id, "")) && b.Size > 0 && b.Size <= MaxBody
}

// Matches returns why bytes are not those of the object that a reference names; nil if
// they are.
func (b BodyRef) Matches(object []byte) error {
	switch digest := BodyDigest(object); {
	case len(object) != b.Size:
		return fmt.Errorf("it has %d bytes, not %d", len(object), b.Size)
	case digest != b.Digest:
		return fmt.Errorf("its bytes have the digest %s, not %s", digest, quote(b.Digest))
	}
	return nil
}

// bodyRef reads a reference, which stands for a prompt or messages.
func (d *decoder) bodyRef(value []byte) {
	for _, name := range []string{"prompt", "messages"} {
		if other, ok := d.top.values[name]; ok && jsonscan.KindOf(other) != jsonscan.Null {
			d.broken.add(name+" and body_ref", "are both given; give one of them")
		}
	}
	if jsonscan.KindOf(value) != jsonscan.Object {
		d.broken.add("body_ref", "is %s; give an object with bucket, name, size and digest, or leave it out", show(value))
		return
	}
	before := len(d.broken.texts) + d.broken.more
	f := readFields(value, "body_ref.", &d.broken, "bucket", "name", "size", "digest")
	for _, name := range []string{"bucket", "name", "size", "digest"} {
		if _, there := f.values[name]; !there {
			d.broken.add(f.at(name), "is missing; give what the object store returned when the object was put")
			return
		}
	}
	var ref BodyRef
	ref.Bucket, _ = f.text("bucket")
	ref.Name, _ = f.text("name")
	ref.Digest, _ = f.text("digest")
	f.integer("size", 1, math.MaxInt32, &ref.Size)
	if len(d.broken.texts)+d.broken.more == before {
		d.checkBodyRef(ref)
	}
}

// checkBodyRef keeps a reference to an object that may be this request's, also if
// it is too large: its object goes with the request.
func (d *decoder) checkBodyRef(ref BodyRef) {
	sum, err := base64.URLEncoding.DecodeString(strings.TrimPrefix(ref.Digest, digestPrefix))
	switch {
	case ref.Bucket != d.rules.BodiesBucket:
		d.broken.add("body_ref.bucket", "is %s; put the object into %s", quote(ref.Bucket), quote(d.rules.BodiesBucket))
		return
	case !ref.ofRequest(d.request.ID):
		d.broken.add("body_ref.name", "is %s; name the object by the request_id, or by that, a slash and up to %d of A-Z, a-z, 0-9, . _ = / and -", quote(ref.Name), maxBodySuffix)
		return
	case !strings.HasPrefix(ref.Digest, digestPrefix) || err != nil || len(sum) != sha256.Size:
		d.broken.add("body_ref.digest", "is %s; give \"SHA-256=\" and the SHA-256 of the object in base64url with padding", quote(ref.Digest))
		return
	}
	d.request.BodyRef = &ref
	if limit := d.rules.MaxBody; limit > 0 && ref.Size > limit {
		d.tooLarge = fmt.Sprintf("body_ref.size: is %d; give at most %d", ref.Size, limit)
	}
}

// WithBody returns the request with the prompt or the messages that its object holds. The
// error is a Failure with the code invalid_request: like Decode's, it names every rule
// that the object breaks and shows none of its content. The Request keeps parts of
// the object, which must not be changed afterwards.
func (r Request) WithBody(object []byte) (Request, error) {
	top, trailing, err := topObject(object)
	if err != nil {
		return r, Failure{Code: InvalidRequest, Message: "the object of body_ref: " + err.Error()}
	}
	d := decoder{request: r}
	d.top = readFields(top, "", &d.broken, "prompt", "messages")
	if trailing {
		d.broken.add("body", "goes on after the object; put one object alone")
	}
	if !utf8.Valid(object) {
		d.broken.add("body", "is not UTF-8 at offset %d; put UTF-8", invalidUTF8(object))
	}
	d.words()
	if len(d.broken.texts) > 0 {
		return r, Failure{Code: InvalidRequest, Message: "the object of body_ref: " + d.broken.String()}
	}
	return d.request, nil
}

// SplitBody returns the request without its prompt and messages, and the object that
// holds them instead. The caller puts that and sets BodyRef. Messages have to be JSON.
func (r Request) SplitBody() (rest Request, object []byte) {
	if len(r.Messages) > 0 {
		object = slices.Concat([]byte(`{"messages":`), r.Messages, []byte("}"))
	} else {
		object = append(appendString(append(make([]byte, 0, len(r.Prompt)+len(r.Prompt)/16+16), `{"prompt":`...), r.Prompt), '}')
	}
	r.Prompt, r.Messages = "", nil
	return r, object
}
