package batchrun

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"strings"
	"sync"

	"github.com/google/uuid"

	"gemini-client/events"
)

// output takes a line a result. It is safe for concurrent use.
type output struct {
	mu   sync.Mutex
	w    *bufio.Writer
	file *os.File               // nil: standard output
	done map[uuid.UUID]struct{} // ids that are in the file from earlier runs
	cost float64                // of these
	bad  int                    // of these that failed
}

// openOutput opens a file to go on with it; "-" is std. What the last line lacks its end of is
// cut off: a run was killed while it wrote it.
func openOutput(name string, std io.Writer) (*output, error) {
	o := &output{done: map[uuid.UUID]struct{}{}}
	if name == "-" {
		o.w = bufio.NewWriter(std)
		return o, nil
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the user's own file
	if err != nil {
		return nil, err
	}
	whole, err := o.read(file)
	if err == nil {
		err = file.Truncate(whole)
	}
	if err == nil {
		_, err = file.Seek(whole, io.SeekStart)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), file.Close())
	}
	o.file, o.w = file, bufio.NewWriter(file)
	return o, nil
}

// read notes what a file has, and returns the length of its whole lines.
func (o *output) read(file io.Reader) (whole int64, err error) {
	for r := bufio.NewReaderSize(file, 1<<20); ; {
		data, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return whole, nil
		}
		if err != nil {
			return whole, err
		}
		if err := o.note(data); err != nil {
			return whole, fmt.Errorf("at byte %d: %w", whole, err)
		}
		whole += int64(len(data))
	}
}

// note notes one line of a file.
func (o *output) note(data []byte) error {
	if len(bytes.TrimSpace(data)) == 0 {
		return nil
	}
	var l struct {
		ID        string          `json:"id"`
		RequestID string          `json:"request_id"`
		Status    string          `json:"status"`
		Error     json.RawMessage `json:"error"`
		Cost      float64         `json:"cost"`
		Response  struct {
			Body struct {
				Usage struct {
					Cost float64 `json:"cost"`
				} `json:"usage"`
			} `json:"body"`
		} `json:"response"`
	}
	if err := json.Unmarshal(data, &l); err != nil {
		return fmt.Errorf("the file is no output of this command: %w", err)
	}
	id, err := uuid.Parse(strings.TrimPrefix(l.ID, batchID) + l.RequestID)
	if err != nil {
		return fmt.Errorf("the file is no output of this command: %w", err)
	}
	o.done[id] = struct{}{}
	o.cost += l.Cost + l.Response.Body.Usage.Cost
	if l.Status == string(events.StatusError) || l.RequestID == "" && string(l.Error) != "null" {
		o.bad++
	}
	return nil
}

// has reports whether a line is in the file from an earlier run.
func (o *output) has(l line) bool {
	_, there := o.done[uuid.MustParse(l.request.ID)]
	return there
}

// put writes a result, and has it in the file when it returns: whoever is killed afterwards
// has it.
func (o *output) put(l line, r events.Result) error {
	data, err := r.Encode()
	if l.openAI {
		data, err = toOpenAI(l.customID, r)
	}
	if err != nil {
		return err
	}
	o.mu.Lock()
	defer o.mu.Unlock()
	_, _ = o.w.Write(append(data, '\n')) // Flush has the error
	return o.w.Flush()
}

func (o *output) close() error {
	if o.file == nil {
		return nil
	}
	return o.file.Close()
}
