package service

import (
	"bytes"
	"io"
	"strings"
	"sync"
)

// buffer is a log that tests may read while it is written.
type buffer struct {
	mu   sync.Mutex
	text bytes.Buffer
}

func (b *buffer) Write(p []byte) (int, error) {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.Write(p)
}

func (b *buffer) String() string {
	b.mu.Lock()
	defer b.mu.Unlock()
	return b.text.String()
}

func (b *buffer) reader() io.Reader { return strings.NewReader(b.String()) }
