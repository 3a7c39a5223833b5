package batchrun

import (
	"bufio"
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"io"
	"os"
	"path/filepath"
	"strings"
	"sync"

	"github.com/google/uuid"

	"gemini-client/events"
)

// output takes a line a result. It is safe for concurrent use.
type output struct {
	mu     sync.Mutex
	w      *bufio.Writer
	file   *os.File               // nil: standard output
	done   map[uuid.UUID]struct{} // ids that are in the file from earlier runs
	cost   float64                // of these
	tokens int                    // of these
	bad    int                    // of these that failed
}

// openOutput opens a file to go on with it; "-" is std. What the last line lacks its end of is
// cut off: a run was killed while it wrote it. Failed results are taken out if that is asked
// for; not if the results are to be in order, as the new ones would come last.
func openOutput(name string, std io.Writer, withoutFailed, ordered bool) (*output, error) {
	o := &output{done: map[uuid.UUID]struct{}{}}
	if name == "-" {
		o.w = bufio.NewWriter(std)
		return o, nil
	}
	file, err := os.OpenFile(name, os.O_RDWR|os.O_CREATE, 0o600) //nolint:gosec // the user's own file
	if err != nil {
		return nil, err
	}
	whole, err := o.read(file, nil)
	if err == nil && withoutFailed && ordered && o.bad > 0 {
		err = errors.New("it has failed results, and those of what is asked for again would come behind all others: with --ordered and --retry-failed name a new file, to which what is answered already is written too without being paid for again; or leave --ordered out")
	}
	if err == nil && withoutFailed && o.bad > 0 {
		return o.withoutFailed(name, file)
	}
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

// withoutFailed replaces the file by one without failed results, and opens that. Who is
// killed meanwhile has the one or the other.
func (o *output) withoutFailed(name string, file *os.File) (*output, error) {
	kept, err := os.CreateTemp(filepath.Dir(name), filepath.Base(name)+".*")
	if err != nil {
		return nil, errors.Join(err, file.Close())
	}
	w := bufio.NewWriter(kept)
	o.done, o.bad, o.cost, o.tokens = map[uuid.UUID]struct{}{}, 0, 0, 0
	_, err = file.Seek(0, io.SeekStart)
	if err == nil {
		_, err = o.read(file, w)
	}
	if info, failed := file.Stat(); err == nil && failed == nil {
		err = kept.Chmod(info.Mode().Perm())
	}
	if err = errors.Join(err, w.Flush(), kept.Sync(), kept.Close(), file.Close()); err == nil {
		err = os.Rename(kept.Name(), name)
	}
	if err != nil {
		return nil, errors.Join(fmt.Errorf("%s: %w", name, err), os.Remove(kept.Name()))
	}
	again, err := openOutput(name, nil, false, false)
	if err == nil {
		again.cost, again.tokens = o.cost, o.tokens // what failed has cost as well
	}
	return again, err
}

// read notes what a file has, and returns the length of its whole lines. kept, if it is not
// nil, gets those that did not fail.
func (o *output) read(file io.Reader, kept io.Writer) (whole int64, err error) {
	for r := bufio.NewReaderSize(file, 1<<20); ; {
		data, err := r.ReadBytes('\n')
		if errors.Is(err, io.EOF) {
			return whole, nil
		}
		if err != nil {
			return whole, err
		}
		failed, err := o.note(data)
		if err == nil && kept != nil && !failed {
			_, err = kept.Write(data)
		}
		if err != nil {
			return whole, fmt.Errorf("at byte %d: %w", whole, err)
		}
		whole += int64(len(data))
	}
}

type usage struct {
	Tokens int     `json:"total_tokens"`
	Cost   float64 `json:"cost"` // OpenAI's lines have it here
}

// note notes one line of a file, and returns whether it is a failed result.
func (o *output) note(data []byte) (failed bool, err error) {
	if len(bytes.TrimSpace(data)) == 0 {
		return false, nil
	}
	var l struct {
		ID        string          `json:"id"`
		RequestID string          `json:"request_id"`
		Status    string          `json:"status"`
		Error     json.RawMessage `json:"error"`
		Cost      float64         `json:"cost"`
		Usage     usage           `json:"usage"`
		Response  struct {
			Body struct {
				Usage usage `json:"usage"`
			} `json:"body"`
		} `json:"response"`
	}
	if err := json.Unmarshal(data, &l); err != nil {
		return false, fmt.Errorf("the file is no output of this command: %w", err)
	}
	id, err := uuid.Parse(strings.TrimPrefix(l.ID, batchID) + l.RequestID)
	if err != nil {
		return false, fmt.Errorf("the file is no output of this command: %w", err)
	}
	o.done[id] = struct{}{}
	o.cost += l.Cost + l.Response.Body.Usage.Cost
	o.tokens += l.Usage.Tokens + l.Response.Body.Usage.Tokens
	if failed = l.Status == string(events.StatusError) || l.RequestID == "" && string(l.Error) != "null"; failed {
		o.bad++
	}
	return failed, nil
}

// has reports whether a line is in the file from an earlier run, under its own id or one of
// those under which it was asked for again.
func (o *output) has(l line) bool {
	if len(o.done) == 0 {
		return false
	}
	id := l.request.ID
	for range retriesMost {
		if _, there := o.done[uuid.MustParse(id)]; there {
			return true
		}
		id = nextID(id)
	}
	return false
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
