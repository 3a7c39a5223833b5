package openrouter

import (
	"bufio"
	"io"
)

const (
	streamBuffer = 1 << 10  // before it is net/http's, of 4 KB
	maxKept      = 64 << 10 // of each buffer that one stream leaves to the next
)

// buffers are what the reading of one stream takes beside its answer. Streams that come later use them again.
type buffers struct {
	body   *bufio.Reader
	events eventReader
	chunks chunkReader
}

func (c *Client) takeBuffers(body io.Reader) *buffers {
	b, again := c.buffers.Get().(*buffers)
	if !again {
		b = &buffers{body: bufio.NewReaderSize(nil, streamBuffer)}
	}
	b.body.Reset(body)
	b.events.r, b.events.max = b.body, c.maxLine
	return b
}

// leaveBuffers keeps nothing of the stream.
func (c *Client) leaveBuffers(b *buffers) {
	b.body.Reset(nil)
	b.events = eventReader{line: short(b.events.line), data: short(b.events.data)}
	b.chunks = chunkReader{scanner: scanner{text: short(b.chunks.text)}, last: repeat{data: short(b.chunks.last.data)}}
	c.buffers.Put(b)
}

// short returns a buffer that may be kept.
func short(b []byte) []byte {
	if cap(b) > maxKept {
		return nil
	}
	return b[:0]
}
