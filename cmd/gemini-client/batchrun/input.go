package batchrun

import (
	"context"
	"io"

	"github.com/muesli/cancelreader"
)

// Interruptible is an input whose reading EndWith can end, be it a pipe or a terminal to which
// nobody writes. A file needs none of it: it is always there. The caller closes it, which
// leaves in open.
func Interruptible(in io.Reader) io.ReadCloser {
	input, err := cancelreader.NewReader(in)
	if err != nil {
		return io.NopCloser(in)
	}
	return input
}

// EndWith has what reads an Interruptible get an error when ctx ends, until stop is called.
func EndWith(ctx context.Context, in io.Reader) (stop func()) {
	input, ok := in.(cancelreader.CancelReader)
	if !ok {
		return func() {}
	}
	ended := make(chan struct{})
	forget := context.AfterFunc(ctx, func() {
		defer close(ended)
		input.Cancel()
	})
	return func() {
		if !forget() {
			<-ended
		}
	}
}
