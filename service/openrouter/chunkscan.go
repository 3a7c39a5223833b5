package openrouter

// A chunkReader reads the chunks of one stream. The zero value is ready to use.
type chunkReader struct {
	scanner
	chunk  chunk // the last one, of which these are parts
	choice [1]choice
	piece  piece

	names chunk // the names in the last ones, which repeat
	ends  choice

	contentBegin, contentEnd int // where the content of the last one lies; 0 where it had none
	last                     repeat
}

// read returns the chunk in a JSON object. It is valid until the next one, and as long as data is not changed.
func (r *chunkReader) read(data []byte) (*chunk, error) {
	if r.scan(data) {
		return &r.chunk, nil
	}
	r.chunk = chunk{}
	return &r.chunk, decode(data, &r.chunk)
}

// scan reads a chunk of the kinds that OpenRouter sends.
func (r *chunkReader) scan(data []byte) bool {
	if r.repeated(data) {
		return true
	}
	r.scanner, r.chunk = scanner{data: data, text: r.text[:0]}, chunk{}
	r.contentBegin, r.contentEnd, r.last.end = 0, 0, 0
	ok := r.object(r.field)
	r.space()
	if ok = ok && r.at == len(data); ok {
		r.remember(data)
	}
	return ok
}

func (r *chunkReader) field(key []byte) (field, bool) {
	c := &r.chunk
	switch string(key) {
	case "id":
		return 1, r.name(&c.ID, &r.names.ID)
	case "model":
		return 2, r.name(&c.Model, &r.names.Model)
	case "provider":
		return 4, r.name(&c.Provider, &r.names.Provider)
	case "service_tier":
		return 8, r.name(&c.Tier, &r.names.Tier)
	case "usage":
		return 16, r.raw(&c.Usage)
	case "error":
		return 32, r.raw(&c.Error)
	case "choices":
		return 64, r.list(r.oneChoice)
	}
	return 0, r.skip()
}

// oneChoice reads the only choice of a chunk.
func (r *chunkReader) oneChoice() bool {
	if len(r.chunk.Choices) > 0 {
		return false
	}
	r.choice[0] = choice{}
	r.chunk.Choices = r.choice[:]
	return r.object(r.choiceField)
}

func (r *chunkReader) choiceField(key []byte) (field, bool) {
	c := &r.choice[0]
	switch string(key) {
	case "index":
		return 1, r.count(&c.Index)
	case "delta":
		return 2, r.readPiece(&c.Delta)
	case "message":
		return 4, r.readPiece(&c.Message)
	case "finish_reason":
		return 8, r.name(&c.FinishReason, &r.ends.FinishReason)
	case "native_finish_reason":
		return 16, r.name(&c.NativeFinishReason, &r.ends.NativeFinishReason)
	case "error":
		return 32, r.raw(&c.Error)
	}
	return 0, r.skip()
}

// readPiece reads a delta or a message; there are not both of them.
func (r *chunkReader) readPiece(to **piece) bool {
	if r.null() {
		return true
	}
	if r.choice[0].Delta != nil || r.choice[0].Message != nil {
		return false
	}
	r.piece = piece{}
	*to = &r.piece
	return r.object(r.pieceField)
}

func (r *chunkReader) pieceField(key []byte) (field, bool) {
	p := &r.piece
	switch string(key) {
	case "content":
		return 1, r.content(&p.Content)
	case "reasoning":
		return 2, r.string(&p.Reasoning)
	case "refusal":
		return 4, r.string(&p.Refusal)
	case "reasoning_details":
		return 8, r.list(func() bool {
			p.Details = append(p.Details, detail{})
			return r.detail(&p.Details[len(p.Details)-1])
		})
	case "tool_calls":
		return 16, r.list(func() bool {
			p.ToolCalls = append(p.ToolCalls, fragment{})
			return r.fragment(&p.ToolCalls[len(p.ToolCalls)-1])
		})
	}
	return 0, r.skip()
}

// content reads the content, and notes where it lies.
func (r *chunkReader) content(to *view) bool {
	r.contentBegin = r.at
	ok := r.string(to)
	r.contentEnd = r.at
	return ok
}

func (r *chunkReader) detail(d *detail) bool {
	return r.object(func(key []byte) (field, bool) {
		switch string(key) {
		case "text":
			return 1, r.string(&d.Text)
		case "summary":
			return 2, r.string(&d.Summary)
		}
		return 0, r.skip()
	})
}

func (r *chunkReader) fragment(f *fragment) bool {
	var last string
	return r.object(func(key []byte) (field, bool) {
		switch string(key) {
		case "index":
			return 1, r.countOrNil(&f.Index)
		case "id":
			return 2, r.name(&f.ID, &last)
		case "type":
			return 4, r.name(&f.Type, &last)
		case "function":
			return 8, r.null() || r.object(func(key []byte) (field, bool) {
				switch string(key) {
				case "name":
					return 1, r.name(&f.Function.Name, &last)
				case "arguments":
					return 2, r.string(&f.Function.Arguments)
				}
				return 0, r.skip()
			})
		}
		return 0, r.skip()
	})
}
