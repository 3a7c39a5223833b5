package openrouter

import (
	"bufio"
	"cmp"
	"context"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"net/http"
	"net/url"
	"strconv"
	"time"
)

const (
	batchesPath = "/batches"
	batchPage   = 100 // the most that OpenRouter lists at once

	errUpload limitError = "upload" // an upload that stands still
	errQuiet  limitError = "quiet"  // a document that stops arriving
)

// Batch reads a batch. Each result goes to each, which may be nil, as soon as it has arrived: a document of hundreds of
// megabytes is never held, only one result of at most [Config.MaxAnswerBytes]. A result comes once a call, in no order that
// means anything. An error of each ends the call and is returned as it is; every other error is an *[Error], and results may
// have been given before it. Status 404 means that there is no such batch: OpenRouter keeps them for 30 days.
//
// [Config.FirstToken] limits the time to the response, [Config.Gap] how long its body may pause. The time of each is not counted.
func (c *Client) Batch(ctx context.Context, key, id string, each func(BatchResult) error) (Batch, error) {
	path, err := batchPath(id)
	if err != nil {
		return Batch{}, refuse(key, err.Error())
	}
	var batch Batch
	err = c.document(ctx, key, http.MethodGet, path, func(d document) error {
		if each != nil {
			d.each = func(r BatchResult) error {
				d.watch.pause()
				defer d.watch.again()
				return each(r)
			}
		}
		batch, err = d.checked(d.ctx, d.response)
		return err
	})
	return batch, err
}

// Batches lists batches that were created at a time or later (zero: all), at most 100 a call. next, passed as after, gives the
// next page; it is empty at the end. Which batches a key sees, its own or its workspace's, is not clear. The results of a
// batch are not listed. The error is an *[Error].
func (c *Client) Batches(ctx context.Context, key string, since time.Time, after string) (page []Batch, next string, err error) {
	query := url.Values{"limit": {strconv.Itoa(batchPage)}}
	if !since.IsZero() {
		query.Set("created_after", strconv.FormatInt(since.Unix()-1, 10)) // it may mean later than
	}
	if after != "" {
		query.Set("after", after)
	}
	err = c.document(ctx, key, http.MethodGet, batchesPath+"?"+query.Encode(), func(d document) error {
		page, next, err = d.page()
		return err
	})
	return page, next, err
}

// DeleteBatch removes a batch that has ended, and its results. The error is an *[Error]: status 409 means that the batch has
// not ended, 404 that there is none. There is no call that cancels a batch.
func (c *Client) DeleteBatch(ctx context.Context, key, id string) error {
	path, err := batchPath(id)
	if err != nil {
		return refuse(key, err.Error())
	}
	return c.document(ctx, key, http.MethodDelete, path, func(d document) error {
		raw, err := io.ReadAll(io.LimitReader(d.values.r, maxLookup))
		if err != nil {
			return nil //nolint:nilerr // the status has said that it is done
		}
		var doc wireBatch
		_ = decode(raw, &doc) // a body is not promised
		if failed := errorObjectError(key, d.response, doc.Error); failed != nil && !doc.isBatch(key) {
			return failed
		}
		return nil
	})
}

func batchPath(id string) (string, error) {
	if id == "" || id == "." || id == ".." {
		return "", errors.New("no batch id")
	}
	return batchesPath + "/" + url.PathEscape(id), nil
}

// A document is a successful response about batches, whose body is being read.
type document struct {
	*batchReader
	ctx      context.Context //nolint:containedctx // it lives for one call of a function that has it
	watch    *watch
	response *http.Response
}

// document makes one call, whose body read reads. The error is read's, or an *Error.
func (c *Client) document(ctx context.Context, key, method, path string, read func(document) error) error {
	if reason := c.checkKey(key); reason != "" {
		return refuse(key, reason)
	}
	ctx, w := startWatch(ctx)
	defer w.stop()
	w.arm(errFirstToken, c.firstToken)
	response, err := c.get(ctx, key, method, path)
	if err != nil {
		return c.fault(ctx, key, KindConnection, err)
	}
	defer func() { _ = response.Body.Close() }() // the body was read to its end, or is not needed
	if response.StatusCode/100 != 2 {
		w.arm(errEnding, errorBodyTime)
		return statusError(key, response)
	}
	w.arm(errQuiet, c.gap)
	reader := c.reader(key, &progressReader{response.Body, w}, nil)
	return read(document{batchReader: reader, ctx: ctx, watch: w, response: response})
}

// A progressReader begins the limit in force anew with each piece that arrives.
type progressReader struct {
	from  io.Reader
	watch *watch
}

func (p *progressReader) Read(to []byte) (int, error) {
	n, err := p.from.Read(to)
	if n > 0 {
		p.watch.again()
	}
	return n, err
}

func (c *Client) reader(key string, from io.Reader, each func(BatchResult) error) *batchReader {
	return &batchReader{client: c, key: key, values: &valueReader{r: bufio.NewReaderSize(from, uploadBuffer)}, each: each}
}

// checked reads a document that must be a batch; it may be an error in spite of its status.
func (b *batchReader) checked(ctx context.Context, response *http.Response) (Batch, error) {
	doc, err := b.batch()
	if err != nil {
		return Batch{}, b.unreadable(ctx, response, err)
	}
	if doc.isBatch(b.key) {
		return doc.batch(b.key), nil
	}
	if failed := errorObjectError(b.key, response, doc.Error); failed != nil {
		return Batch{}, failed
	}
	return Batch{}, b.unreadable(ctx, response, errNoJSON)
}

// A wirePage is a list of batches beside its list.
type wirePage struct {
	LastID  text            `json:"last_id"`
	HasMore bool            `json:"has_more"`
	Error   json.RawMessage `json:"error"`
}

// page reads a list of batches, one by one.
func (d document) page() (page []Batch, next string, err error) {
	listed := false
	rest, err := d.outside(func(name string) (bool, error) {
		if name != "data" {
			return false, nil
		}
		listed = true
		return true, d.values.arrayOrNull(func() error {
			doc, err := d.batch()
			if err == nil && doc.isBatch(d.key) && len(page) < 10*batchPage {
				page = append(page, doc.batch(d.key))
			}
			return err
		})
	}, "last_id", "has_more", "error")
	var doc wirePage
	if err == nil {
		err = decode(rest, &doc)
	}
	if err != nil {
		return nil, "", d.unreadable(d.ctx, d.response, err)
	}
	if failed := errorObjectError(d.key, d.response, doc.Error); failed != nil && !listed {
		return nil, "", failed
	}
	if !listed {
		return nil, "", d.unreadable(d.ctx, d.response, errNoJSON)
	}
	if doc.HasMore && len(page) > 0 {
		next = cmp.Or(string(doc.LastID), page[len(page)-1].ID)
	}
	return page, next, nil
}

// unreadable is the error of a body that ended early or is not what it should be, or the caller's own.
func (b *batchReader) unreadable(ctx context.Context, response *http.Response, err error) error {
	if own, ok := errors.AsType[callerError](err); ok {
		return own.error
	}
	var bad *json.SyntaxError
	if errors.Is(err, errNoJSON) || errors.Is(err, errNotAnObject) || errors.As(err, &bad) {
		message := fmt.Sprintf("HTTP %d with a body that is no batch", response.StatusCode)
		return &Error{Kind: KindMalformed, Status: response.StatusCode, Message: message, Retryable: true}
	}
	return b.client.batchFault(ctx, b.key, KindCut, err)
}

// batchFault classifies an error of the network, as fault does, with the time limits that only batches have.
func (c *Client) batchFault(ctx context.Context, key string, kind Kind, err error) *Error {
	if limit, _ := errors.AsType[limitError](context.Cause(ctx)); limit == errUpload {
		return &Error{Kind: KindGap, Message: fmt.Sprintf("the upload has stood still for %v", c.firstToken), Retryable: true}
	} else if limit == errQuiet {
		return &Error{Kind: KindGap, Message: fmt.Sprintf("nothing of the batch arrived for %v", c.gap), Retryable: true}
	}
	return c.fault(ctx, key, kind, err)
}
