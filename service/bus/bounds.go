package bus

import (
	"errors"
	"fmt"

	"gemini-client/service/config"
)

// Bounds of the dead letters without a usable id. Nobody can be answered and
// nothing replayed, so what shows where a message came from is enough.
const (
	unusableBody    = 48 << 10
	unusableHeaders = 12 << 10
	unusableBytes   = 64 << 10 // of one in the stream, with what is added to it
	unusableLeast   = 16       // of them are kept in any case
)

// unusableKept is how many dead letters without a usable id are kept: at most a
// quarter of DEADLETTERS_MAX_BYTES, beside it.
func unusableKept(c config.Config) int64 {
	return max(unusableLeast, int64(c.DeadlettersMaxBytes)/4/unusableBytes)
}

// Bytes that a message in a stream has beside its body: headers at most
// (nats-server refuses more), and subject and bookkeeping.
const (
	headersMax = 64 << 10
	storedMore = 1 << 10
)

// Bound is how large a stream has to be at least, so that its limit does what it
// is there for.
type Bound struct {
	Setting string      // that sets the limit
	Value   config.Size // of the setting; 0 = no limit
	Least   config.Size
	Why     string
}

// deadlettersBound has room for the largest dead letter that can be replayed.
func deadlettersBound(c config.Config, maxPayload int64) Bound {
	largest := maxPayload
	if limit := int64(c.RequestMaxBytes); limit > 0 {
		largest = min(limit+headersMax, maxPayload)
	}
	return Bound{
		Setting: "DEADLETTERS_MAX_BYTES", Value: c.DeadlettersMaxBytes, Least: config.Size(largest + storedMore),
		Why: "one dead letter may be as large (REQUEST_MAX_BYTES, the server's max_payload), and would push out all the others and itself",
	}
}

// resultsBound has room for two results: while there is none for another one,
// nothing is called for.
func resultsBound(c config.Config, maxPayload int64) Bound {
	return Bound{
		Setting: "RESULTS_MAX_BYTES", Value: c.ResultsMaxBytes, Least: config.Size(2 * (maxPayload + storedMore)),
		Why: "a result may be as large as the server's max_payload, and two of them must fit",
	}
}

// check returns every setting that is below its bound, as config.ErrInvalid.
func (t Topology) check() error {
	var problems []error
	for _, stream := range t.Streams {
		b, bounded := t.Bounds[stream.Name]
		if bounded && b.Value > 0 && b.Value < b.Least {
			problems = append(problems, fmt.Errorf("%s=%s: want at least %d bytes: %s", b.Setting, b.Value, b.Least, b.Why))
		}
	}
	if err := errors.Join(problems...); err != nil {
		return fmt.Errorf("%w:\n%w", config.ErrInvalid, err)
	}
	return nil
}
