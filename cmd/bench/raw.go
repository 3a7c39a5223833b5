package main

import (
	"bufio"
	"bytes"
	"context"
	"fmt"
	"io"
	"net"
	"strconv"
	"strings"
	"time"
)

const (
	rawHead     = "HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
	rawEnd      = "0\r\n\r\n"
	rawNotFound = "HTTP/1.1 404 Not Found\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
)

// serveRaw serves as much of HTTP/1.1 as our callers use, with one write an answer
// where it is sent at once.
func serveRaw(l net.Listener, a answer, n *counts) error {
	var whole string
	if a.Over == 0 {
		_ = a.write(func(text string) error { whole = rawHead + rawChunk(text) + rawEnd; return nil }, nil) // to memory
	}
	for {
		conn, err := l.Accept()
		if err != nil {
			return err
		}
		n.open.Add(1)
		go func() { // ends with the connection
			defer n.open.Add(-1)
			defer conn.Close() //nolint:errcheck // the caller closes it first
			for r := bufio.NewReaderSize(conn, 4<<10); ; {
				chat, err := readRaw(r)
				if err != nil {
					return
				}
				if err := answerRaw(conn, a, whole, chat, n); err != nil {
					return
				}
			}
		}()
	}
}

func answerRaw(conn net.Conn, a answer, whole string, chat bool, n *counts) error {
	if !chat {
		_, err := io.WriteString(conn, rawNotFound)
		return err
	}
	n.begin()
	defer n.end()
	if whole != "" {
		_, err := io.WriteString(conn, whole)
		return err
	}
	began, begin := time.Now(), rawHead
	err := a.write(func(text string) error {
		_, err := io.WriteString(conn, begin+rawChunk(text))
		begin = ""
		return err
	}, func(since time.Duration) error {
		return pause(context.Background(), time.Until(began.Add(since)))
	})
	if err == nil {
		_, err = io.WriteString(conn, rawEnd)
	}
	return err
}

func rawChunk(text string) string { return fmt.Sprintf("%x\r\n%s\r\n", len(text), text) }

// readRaw reads a request and reports whether it asks for a chat completion. Its
// body has a length.
func readRaw(r *bufio.Reader) (chat bool, err error) {
	line, err := r.ReadSlice('\n')
	if err != nil {
		return false, err
	}
	chat = bytes.HasPrefix(line, []byte("POST "+chatPath+" "))
	length := 0
	for {
		line, err := r.ReadSlice('\n')
		if err != nil {
			return false, err
		}
		if line = bytes.TrimSpace(line); len(line) == 0 {
			_, err := r.Discard(length)
			return chat, err
		}
		name, value, _ := strings.Cut(string(line), ":")
		switch {
		case strings.EqualFold(name, "Content-Length"):
			if length, err = strconv.Atoi(strings.TrimSpace(value)); err != nil {
				return false, err
			}
		case strings.EqualFold(name, "Transfer-Encoding"):
			return false, fmt.Errorf("%w: a body without a length", io.ErrUnexpectedEOF)
		}
	}
}
