package openrouter

import (
	"encoding/json"
	"strconv"
	"strings"
)

// Pricing is the list price of a model, in USD.
type Pricing struct {
	// Prompt is the price of a token of the prompt.
	Prompt Price
	// Bounded says that the prices below are known: none is missing, and none depends on
	// which model answers.
	Bounded bool
	// What is paid at most, at any time of the day and for a prompt of any length: for a
	// token that is read, for one that is read of media, for one that is written, for a
	// piece of media, and for the call.
	MostRead, MostMedia, MostWritten, MostPiece, MostCall Price
}

// The fields of a price, by what they are for. What is paid for searches is no part of it.
const (
	readFields    = "prompt input_cache_read input_cache_write"
	mediaFields   = "prompt input_cache_read input_cache_write audio input_audio input_audio_cache video"
	writtenFields = "completion internal_reasoning image_output audio_output image_token"
	pieceFields   = "image"
	callFields    = "request"
)

// UnmarshalJSON reads the catalogue's strings, and numbers. What it cannot read is not
// bounded.
func (p *Pricing) UnmarshalJSON(data []byte) error {
	*p = Pricing{}
	var fields map[string]json.RawMessage
	var whole struct {
		Prompt    Price                        `json:"prompt"`
		Overrides []map[string]json.RawMessage `json:"overrides"`
	}
	if json.Unmarshal(data, &fields) != nil || json.Unmarshal(data, &whole) != nil {
		return nil //nolint:nilerr // nothing is known of it
	}
	p.Prompt = whole.Prompt
	_, reads := listed(fields["prompt"])
	_, writes := listed(fields["completion"])
	p.Bounded = reads && writes
	for _, prices := range append(whole.Overrides, fields) {
		for names, most := range map[string]*Price{
			readFields: &p.MostRead, mediaFields: &p.MostMedia, writtenFields: &p.MostWritten, pieceFields: &p.MostPiece, callFields: &p.MostCall,
		} {
			for name := range strings.SplitSeq(names, " ") {
				price, ok := listed(prices[name])
				p.Bounded = p.Bounded && (ok || prices[name] == nil || string(prices[name]) == "null")
				*most = max(*most, price)
			}
		}
	}
	return nil
}

// listed reads a price; false if there is none, or -1, as of a model that chooses another.
func listed(raw json.RawMessage) (Price, bool) {
	value, err := strconv.ParseFloat(strings.Trim(string(raw), `"`), 64)
	if err != nil || !(value >= 0 && value < 1e6) {
		return 0, false
	}
	return Price(value), true
}
