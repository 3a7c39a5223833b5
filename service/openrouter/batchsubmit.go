package openrouter

import (
	"bufio"
	"bytes"
	"context"
	"errors"
	"fmt"
	"io"
	"iter"
	"net/http"
	"time"
)

const uploadBuffer = 64 << 10

// errUnread ends an upload that nobody reads any more.
var errUnread = errors.New("the upload was given up")

// SubmitBatch stores a batch and returns it as it was stored: not yet validated. The items are asked for while they are sent,
// on the caller's goroutine, and none is kept. An error of theirs ends the call and is returned as it is; every other error is
// an *[Error], and its MayBeStored says whether the batch may exist all the same, as there is no idempotency key.
//
// There is no limit to the whole upload but the context's. [Config.FirstToken] limits how long it may stand still (the time
// that items take is not counted), and how long the answer may take after its end.
func (c *Client) SubmitBatch(ctx context.Context, key string, job BatchJob, items iter.Seq2[BatchItem, error]) (Batch, error) {
	head, err := job.head()
	if err != nil {
		return Batch{}, refuse(key, "batch: "+err.Error())
	}
	if reason := c.checkKey(key); reason != "" {
		return Batch{}, refuse(key, reason)
	}
	ctx, w := startWatch(ctx)
	defer w.stop()
	from, to := io.Pipe()
	got, over := answered{}, make(chan struct{})
	go func() {
		defer close(over)
		got = c.upload(ctx, key, from, w)
	}()
	defer func() { // wherever this function ends: the caller's items may panic
		_ = to.CloseWithError(errUnread)
		w.stop()
		<-over
	}()
	u := &upload{key: key, model: job.Model, to: bufio.NewWriterSize(&watchedWriter{to, w, c.firstToken}, uploadBuffer)}
	if err := u.write(head, items); err != nil && !u.unread {
		return Batch{}, err
	}
	if !u.unread {
		_ = to.Close() // has no error
	}
	w.arm(errFirstToken, c.firstToken)
	<-over
	batch, err := c.stored(ctx, key, got)
	if failed, ok := errors.AsType[*Error](err); ok {
		failed.MayBeStored = !u.unread && mayBeStored(failed)
	}
	return batch, err
}

// mayBeStored judges an error after the whole upload was sent: only an answer that refuses it is sure.
func mayBeStored(e *Error) bool {
	return e.Kind != KindStatus || e.Status/100 != 4 && e.Status/100 != 3 || e.Status == http.StatusRequestTimeout
}

// An upload writes a batch. The batch can only have been stored if its end was read.
type upload struct {
	key, model string
	to         *bufio.Writer
	unread     bool // the other side has stopped reading
}

// write sends the whole batch. Its errors are those of the items, unless u.unread.
func (u *upload) write(head []byte, items iter.Seq2[BatchItem, error]) error {
	if err := u.put(head); err != nil {
		return err
	}
	separator := ""
	for item, err := range items {
		if err != nil {
			return err
		}
		id, body, err := item.encode(u.model)
		if err != nil {
			return refuse(u.key, fmt.Sprintf("batch item %q: %v", item.CustomID, err))
		}
		if err := u.put([]byte(separator+itemHead), id, []byte(itemBody)); err != nil {
			return err
		}
		if _, err := io.Copy(u.to, body.open()); err != nil {
			u.unread = true
			return err
		}
		if err := u.put([]byte("}")); err != nil {
			return err
		}
		separator = ","
	}
	if separator == "" {
		return refuse(u.key, "batch: no items")
	}
	if err := u.put([]byte("]}")); err != nil {
		return err
	}
	err := u.to.Flush()
	u.unread = err != nil
	return err
}

func (u *upload) put(pieces ...[]byte) error {
	for _, piece := range pieces {
		if _, err := u.to.Write(piece); err != nil {
			u.unread = true
			return err
		}
	}
	return nil
}

// A watchedWriter limits the time that one write takes.
type watchedWriter struct {
	to    io.Writer
	watch *watch
	limit time.Duration
}

func (w *watchedWriter) Write(data []byte) (int, error) {
	w.watch.arm(errUpload, w.limit)
	defer w.watch.pause()
	return w.to.Write(data)
}

// answered is how an upload was answered. An error beside a response is one of reading it.
type answered struct {
	response *http.Response
	body     []byte
	err      error
}

// upload sends a batch and reads the answer, which may come before the end of the upload, and then ends it.
func (c *Client) upload(ctx context.Context, key string, from *io.PipeReader, w *watch) answered {
	defer func() { _ = from.CloseWithError(errUnread) }() // has no error
	request, err := http.NewRequestWithContext(ctx, http.MethodPost, c.base+batchesPath, from)
	if err != nil {
		return answered{err: err}
	}
	request.ContentLength = -1
	c.sign(request, key)
	request.Header.Set("Accept", "application/json")
	request.Header.Set("Content-Type", "application/json")
	response, err := c.do(request)
	if err != nil {
		return answered{err: err}
	}
	limit := time.AfterFunc(errorBodyTime, func() { w.cancel(errEnding) })
	defer limit.Stop()
	defer func() { _ = response.Body.Close() }() // what is needed was read
	body, err := io.ReadAll(io.LimitReader(response.Body, maxLookup))
	return answered{response, body, err}
}

// stored reads the answer to an upload.
func (c *Client) stored(ctx context.Context, key string, got answered) (Batch, error) {
	switch {
	case got.response == nil:
		return Batch{}, c.batchFault(ctx, key, KindConnection, got.err)
	case got.response.StatusCode/100 != 2:
		got.response.Body = io.NopCloser(bytes.NewReader(got.body))
		return Batch{}, statusError(key, got.response)
	case got.err != nil:
		return Batch{}, c.batchFault(ctx, key, KindCut, got.err)
	}
	return c.reader(key, bytes.NewReader(got.body), nil).checked(ctx, got.response)
}
