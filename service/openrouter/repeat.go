package openrouter

import "bytes"

// maxRepeat bounds the chunk that a stream keeps for comparison.
const maxRepeat = 4 << 10

// A repeat is a chunk that was read, of which the next one may differ in its content
// alone: an answer's chunks mostly do. Two texts that are equal but for one string are
// the same JSON but for that string. To compare them takes a fifteenth of the time of
// reading the second one.
type repeat struct {
	data       []byte
	begin, end int // of the content's string, where it was read; end is 0 if nothing may be repeated
}

// repeated reads a chunk that differs from the last one only in its content. false means that it is another one.
func (r *chunkReader) repeated(data []byte) bool {
	before, after := r.last.data[:r.last.begin], r.last.data[r.last.end:]
	if r.last.end == 0 || len(data) < len(before)+len(after) || !bytes.HasPrefix(data, before) || !bytes.HasSuffix(data, after) {
		return false
	}
	r.scanner = scanner{data: data[:len(data)-len(after)], at: len(before), text: r.text[:0]}
	return r.string(&r.piece.Content) && r.at == len(r.data)
}

// remember keeps a chunk that was read, if it holds nothing beside its content that lies in its data.
func (r *chunkReader) remember(data []byte) {
	r.last.data, r.last.end = r.last.data[:0], 0
	c, p := &r.chunk, &r.piece
	only := len(c.Choices) == 1 && c.Choices[0].Delta != nil && p.Reasoning == nil && p.Refusal == nil && p.Details == nil && p.ToolCalls == nil
	if r.contentEnd > 0 && only && c.Usage == nil && c.Error == nil && c.Choices[0].Error == nil && len(data) <= maxRepeat {
		r.last.data, r.last.begin, r.last.end = append(r.last.data, data...), r.contentBegin, r.contentEnd
	}
}
