package main

import (
	"cmp"
	"context"
	"errors"
	"fmt"
	"strings"

	"github.com/dustin/go-humanize"
	"github.com/nats-io/nats.go/jetstream"

	"gemini-client/service/batch"
	"gemini-client/service/bus"
)

// batchesRead bounds how many records of batches an overview reads. Those of batches that
// have ended are kept for two days, and count.
const batchesRead = 200

// readBatches reads which batches are under way. Where the stream is not there, no request
// has ever waited for one.
func (a *adminClient) readBatches(ctx context.Context, o *overview) error {
	subject := a.names.BatchRecord(batch.RecordsOfJobs, "*")
	stream, err := a.stream(ctx, a.names.BatchStream())
	if errors.Is(err, jetstream.ErrStreamNotFound) {
		o.Batches = []batch.Description{}
		return nil
	}
	if err != nil {
		return err
	}
	o.Batches = []batch.Description{}
	var broken []error
	for sequence, n := uint64(1), 0; ; n++ {
		m, err := a.next(ctx, stream, sequence, subject)
		if m == nil || err != nil {
			return errors.Join(append(broken, err)...)
		}
		if n == batchesRead {
			return errors.Join(append(broken, fmt.Errorf("batches: there are more than %d records of them, the others were not read", batchesRead))...)
		}
		name := strings.TrimPrefix(m.Subject, strings.TrimSuffix(subject, "*"))
		d, open, err := batch.Describe(bus.Record{Name: name, Body: m.Data, Sequence: m.Sequence})
		switch {
		case err != nil:
			broken = append(broken, err)
		case open:
			o.Batches = append(o.Batches, d)
		}
		sequence = m.Sequence + 1
	}
}

// batchLine says of one batch where it is.
func batchLine(d batch.Description) string {
	requests := humanize.Comma(int64(d.Requests)) + " requests"
	if d.Requests == 1 {
		requests = "1 request"
	}
	return plain(fmt.Sprintf("%s  %s, %s of %s, since %s", cmp.Or(d.ID, "job "+d.Job), d.State, requests, cmp.Or(d.Model, "a model that is not known yet"), since(d.Since)))
}
