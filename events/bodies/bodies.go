package bodies

import (
	"context"
	"encoding/base64"
	"encoding/json"
	"errors"
	"fmt"
	"strconv"
	"strings"
	"time"

	"github.com/google/uuid"
	"github.com/nats-io/nats.go"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/events"
)

// Why there is no object.
var (
	// ErrNoBucket is a server, or an account, without the bucket.
	ErrNoBucket = errors.New("there is no object store for bodies that are too large for a message: `gemini-client provision` makes it. With accounts, the user needs the rights to it in deploy/nats/nats.conf")
	// ErrMissing is an object that is not in the bucket, or not any more.
	ErrMissing = errors.New("the object is not in the bucket: it is too old, was never put, or was deleted, as a request's is when that is settled")
	// ErrBroken is an object that is not the one that was referred to.
	ErrBroken = errors.New("the object is not what was put")
)

// Store is the bucket on one connection.
type Store struct {
	// Bucket is the object store's name.
	Bucket string
	// API returns the subject of a question to JetStream's API, such as
	// STREAM.MSG.GET.<stream>.
	API func(question string) string
	// Chunk is how many bytes of an object a message holds, below max_payload.
	Chunk func() int
	// Request asks a question of JetStream's API. nats.ErrNoResponders is an answer; all
	// other errors are returned as they are.
	Request func(ctx context.Context, subject string, question []byte) (*nats.Msg, error)
	// Publish has a message stored.
	Publish func(ctx context.Context, m *nats.Msg) error
}

// ChunkSize is a Chunk for a server's max_payload: large ones save round trips.
func ChunkSize(maxPayload int64) int { return int(min(512<<10, maxPayload/2)) }

// reusable is how old an object may be that is not put again: far younger than any age
// limit of the bucket, and old enough for whoever sends a request once more.
const reusable = time.Hour

// Put stores an object and returns its reference. The same object under the same name,
// put within the last hour, is there already. Errors: ErrNoBucket, Request's, Publish's.
func (s *Store) Put(ctx context.Context, name string, object []byte) (events.BodyRef, error) {
	ref := events.BodyRef{Bucket: s.Bucket, Name: name, Size: len(object), Digest: events.BodyDigest(object)}
	there, err := s.info(ctx, name)
	if err != nil {
		return ref, err
	}
	if there != nil && there.is(ref) && time.Since(there.ModTime) < reusable {
		return ref, nil
	}
	info := jetstream.ObjectInfo{
		ObjectMeta: jetstream.ObjectMeta{Name: name, Opts: &jetstream.ObjectMetaOptions{ChunkSize: uint32(s.Chunk())}}, //nolint:gosec // below max_payload
		Bucket:     s.Bucket, NUID: strings.ReplaceAll(uuid.NewString(), "-", ""), Size: uint64(len(object)), Digest: ref.Digest,
	}
	for rest := object; len(rest) > 0; info.Chunks++ {
		n := min(s.Chunk(), len(rest))
		m := &nats.Msg{Subject: s.chunks(info.NUID), Data: rest[:n], Header: nats.Header{jetstream.MsgIDHeader: {fmt.Sprintf("%s/%d", info.NUID, info.Chunks)}}}
		if err := s.Publish(ctx, m); err != nil {
			s.forget(ctx, info.NUID)
			return ref, err
		}
		rest = rest[n:]
	}
	return ref, s.putInfo(ctx, info) // after an error it may be there, so the chunks stay
}

// forgetTime bounds the wait for chunks to be removed that belong to no object.
const forgetTime = 5 * time.Second

// forget removes the chunks of an object that could not be put whole: nothing names them,
// and they would fill the bucket until its age limit.
func (s *Store) forget(ctx context.Context, nuid string) {
	ctx, cancel := context.WithTimeout(context.WithoutCancel(ctx), forgetTime)
	defer cancel()
	_ = s.Publish(ctx, &nats.Msg{Subject: s.chunks(nuid), Header: alone()}) // or they wait for the age limit
}

// Get returns the object that a reference names. The caller has room for its size.
// Errors: ErrNoBucket, ErrMissing, ErrBroken, Request's.
func (s *Store) Get(ctx context.Context, ref events.BodyRef) ([]byte, error) {
	for nuid, broken := "", error(nil); ; {
		there, err := s.info(ctx, ref.Name)
		switch {
		case err != nil:
			return nil, err
		case there == nil:
			return nil, ErrMissing
		case !there.is(ref):
			return nil, fmt.Errorf("%w: the bucket has %d bytes with the digest %.60q under its name", ErrBroken, there.Size, there.Digest)
		case there.NUID == nuid: // else it was put again while it was read
			return nil, broken
		}
		object, err := s.read(ctx, there.NUID, ref)
		if !errors.Is(err, ErrBroken) {
			return object, err
		}
		nuid, broken = there.NUID, err
	}
}

// leastChunk is the least that each chunk but the last must have: each is a round trip.
// Clients make them of 128 KiB.
const leastChunk = 4 << 10

// read returns the chunks of an object, which are its own.
func (s *Store) read(ctx context.Context, nuid string, ref events.BodyRef) ([]byte, error) {
	object := make([]byte, 0, ref.Size)
	for after := uint64(0); len(object) < ref.Size; {
		m, err := s.message(ctx, map[string]any{"seq": after + 1, "next_by_subj": s.chunks(nuid)})
		switch {
		case err != nil:
			return nil, err
		case m == nil || len(m.Data) == 0:
			return nil, fmt.Errorf("%w: it ends after %d of %d bytes", ErrBroken, len(object), ref.Size)
		case len(m.Data) < leastChunk && len(object)+len(m.Data) < ref.Size:
			return nil, fmt.Errorf("%w: it comes in chunks of less than %d bytes", ErrBroken, leastChunk)
		case len(object)+len(m.Data) > ref.Size:
			return nil, fmt.Errorf("%w: it goes on after its %d bytes", ErrBroken, ref.Size)
		}
		object, after = append(object, m.Data...), m.Sequence
	}
	if err := ref.Matches(object); err != nil {
		return nil, fmt.Errorf("%w: %w", ErrBroken, err)
	}
	return object, nil
}

// Delete removes an object; one that is not there is removed. What remains are two small
// messages, until the bucket's age limit. Errors: ErrNoBucket, Request's, Publish's.
func (s *Store) Delete(ctx context.Context, name string) error {
	there, err := s.info(ctx, name)
	if there == nil || err != nil {
		return err
	}
	chunks := there.NUID
	there.Deleted, there.Size, there.Chunks, there.Digest = true, 0, 0, ""
	if err := s.putInfo(ctx, there.ObjectInfo); err != nil {
		return err
	}
	return s.Publish(ctx, &nats.Msg{Subject: s.chunks(chunks), Header: alone()})
}

// alone has a message replace all others of its subject.
func alone() nats.Header { return nats.Header{jetstream.MsgRollup: {jetstream.MsgRollupSubject}} }

func (s *Store) putInfo(ctx context.Context, info jetstream.ObjectInfo) error {
	body, err := json.Marshal(info)
	if err != nil {
		return err
	}
	return s.Publish(ctx, &nats.Msg{Subject: s.about(info.Name), Data: body, Header: alone()})
}

func (s *Store) chunks(nuid string) string { return "$O." + s.Bucket + ".C." + nuid }

func (s *Store) about(name string) string {
	return "$O." + s.Bucket + ".M." + base64.URLEncoding.EncodeToString([]byte(name))
}

// found is what the bucket says of an object.
type found struct{ jetstream.ObjectInfo }

// is reports whether an object is the one that is referred to.
func (f *found) is(ref events.BodyRef) bool {
	return f.Size == uint64(ref.Size) && f.Digest == ref.Digest //nolint:gosec // it is not negative
}

// info returns what the bucket says of an object, nil if it has none of that name.
// Whoever may put objects may write anything here: a link is not followed, and the
// chunks' subject must not be a filter.
func (s *Store) info(ctx context.Context, name string) (*found, error) {
	m, err := s.message(ctx, map[string]any{"last_by_subj": s.about(name)})
	if m == nil || err != nil {
		return nil, err
	}
	var f found
	switch err := json.Unmarshal(m.Data, &f); {
	case err != nil:
		return nil, fmt.Errorf("%w: what the bucket says of it is no JSON of an object", ErrBroken)
	case f.Deleted:
		return nil, nil //nolint:nilnil // there is none
	case f.Name != name, f.NUID == "", len(f.NUID) > 64, strings.ContainsAny(f.NUID, ".*> \t\r\n"), f.Opts != nil && f.Opts.Link != nil:
		return nil, fmt.Errorf("%w: what the bucket says of it is about something else", ErrBroken)
	}
	f.ModTime = m.Time
	return &f, nil
}

// codeNoMessage and codeNoStream are JetStream's for what is not there (errors.json).
const (
	codeNoMessage = 10037
	codeNoStream  = 10059
)

// Where there is no bucket, no leader or nobody who answers, it is asked again: a service
// that starts makes the bucket, and JetStream may be starting.
const (
	bucketTries = 12
	bucketWait  = 250 * time.Millisecond
)

// message returns one message of the bucket's stream, nil if there is none. A direct get
// is answered by any copy of the stream, which may lag behind: so its leader is asked
// as well before something is said not to be there.
func (s *Store) message(ctx context.Context, which map[string]any) (*jetstream.RawStreamMsg, error) {
	question, err := json.Marshal(which)
	if err != nil {
		return nil, err
	}
	stream := "OBJ_" + s.Bucket
	m, err := s.Request(ctx, s.API("DIRECT.GET."+stream), question)
	if err == nil && m.Header.Get(jetstream.SubjectHeader) != "" {
		sequence, _ := strconv.ParseUint(m.Header.Get(jetstream.SequenceHeader), 10, 64)
		at, _ := time.Parse(time.RFC3339Nano, m.Header.Get(jetstream.TimeStampHeaer))
		return &jetstream.RawStreamMsg{Sequence: sequence, Time: at, Data: m.Data}, nil
	}
	if err != nil && !errors.Is(err, nats.ErrNoResponders) {
		return nil, err
	}
	var last error
	for range bucketTries {
		m, err = s.Request(ctx, s.API("STREAM.MSG.GET."+stream), question)
		if err == nil {
			var found *jetstream.RawStreamMsg
			if found, err = answer(m); err == nil {
				return found, nil
			}
		} else if !errors.Is(err, nats.ErrNoResponders) {
			return nil, err
		}
		last = err
		select {
		case <-time.After(bucketWait):
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		}
	}
	return nil, last
}

// answer reads the leader's.
func answer(m *nats.Msg) (*jetstream.RawStreamMsg, error) {
	var read struct {
		Error   *jetstream.APIError `json:"error"`
		Message struct {
			Sequence uint64    `json:"seq"`
			Data     []byte    `json:"data"`
			Time     time.Time `json:"time"`
		} `json:"message"`
	}
	err := json.Unmarshal(m.Data, &read)
	switch {
	case err != nil:
		return nil, err
	case read.Error == nil:
		return &jetstream.RawStreamMsg{Sequence: read.Message.Sequence, Time: read.Message.Time, Data: read.Message.Data}, nil
	case read.Error.ErrorCode == codeNoMessage:
		return nil, nil //nolint:nilnil // there is none
	case read.Error.ErrorCode == codeNoStream:
		return nil, ErrNoBucket
	}
	return nil, read.Error
}
