package simulator

import (
	"fmt"
	"slices"
	"strconv"
	"strings"
	"time"
)

// FaultInfo describes one fault that can be asked for.
type FaultInfo struct {
	Name, About string
	Params      []ParamInfo
}

// ParamInfo describes one parameter of a fault; an empty default means that it is left out.
type ParamInfo struct {
	Name, Default, About string
}

// Faults lists every fault, in the order of the documentation.
func Faults() []FaultInfo {
	var infos []FaultInfo
	for _, k := range catalogue() {
		info := FaultInfo{Name: k.name, About: k.about}
		for _, p := range k.params {
			info.Params = append(info.Params, ParamInfo{Name: p.name, Default: p.value, About: p.about})
		}
		infos = append(infos, info)
	}
	return infos
}

// CommonParams lists the parameters that every fault takes.
func CommonParams() []ParamInfo {
	return []ParamInfo{
		{Name: "times", About: "only the first N calls get it (of those with exactly this prompt, if a marker asks)"},
		{Name: "share", About: "only this fraction of calls gets it, chosen by the seed: 0.1"},
		{Name: "key", About: "only calls whose API key ends with this"},
		{Name: "model", About: "only calls that ask for this model first; a fallback model then answers, if the fault allows"},
	}
}

// kind is a fault and how it is made. Exactly one of answer, shape, bend and batch is set.
type kind struct {
	name, about string
	params      []param
	// answer makes the whole reply; no model is reached.
	answer func(*exchange, args) reply
	// shape changes what the model generates.
	shape func(*generation, args)
	// bend changes how it is sent.
	bend func(*exchange, reply, args) reply
	// batch says what of batches it concerns, of which chat calls know nothing.
	batch scope
	// routed: the next of several models is tried. firstModel: the fault is about the first model alone.
	routed, firstModel bool
	// unbilled: what was generated costs nothing.
	unbilled bool
}

// catalogue returns every fault.
func catalogue() []kind {
	return slices.Concat(requestFaults(), accountFaults(), limitFaults(), routingFaults(), availabilityFaults(),
		providerFaults(), tierFaults(), generationFaults(), streamFaults(), connectionFaults(), batchFaults(), batchItemFaults())
}

// form is the syntax of a parameter's value.
type form int

const (
	word  form = iota // anything without spaces
	whole             // 0 to maxWhole
	span              // a duration, such as 50ms
)

// maxWhole bounds numbers, so that a prompt cannot ask for more bytes than a machine has.
const maxWhole = 1 << 28

// param is a parameter of a fault. oneOf, separated by |, limits a word.
type param struct {
	name, value string
	form        form
	oneOf       string
	about       string
}

// checkParam returns what is wrong with a parameter that was given.
func (k kind) checkParam(name, value string) error {
	i := slices.IndexFunc(k.params, func(p param) bool { return p.name == name })
	if i < 0 {
		return fmt.Errorf("fault %s has no parameter %q", k.name, name)
	}
	if err := k.params[i].check(value); err != nil {
		return fmt.Errorf("fault %s: %s=%s: %w", k.name, name, value, err)
	}
	return nil
}

func (p param) check(value string) error {
	switch p.form {
	case whole:
		if n, err := strconv.Atoi(value); err != nil || n < 0 || n > maxWhole {
			return fmt.Errorf("not a whole number from 0 to %d", maxWhole)
		}
	case span:
		if d, err := time.ParseDuration(value); err != nil || d < 0 {
			return fmt.Errorf("not a duration, such as 50ms")
		}
	case word:
		if p.oneOf != "" && !slices.Contains(strings.Split(p.oneOf, "|"), value) {
			return fmt.Errorf("not one of %s", p.oneOf)
		}
	}
	return nil
}

// args are a fault's parameters, checked and with the defaults filled in.
type args map[string]string

// number returns a whole parameter; 0 if it is left out.
func (a args) number(name string) int {
	n, err := strconv.Atoi(a[name])
	if err != nil {
		return 0
	}
	return n
}

// duration returns a span parameter; forever if it is left out.
func (a args) duration(name string) time.Duration {
	d, err := time.ParseDuration(a[name])
	if err != nil {
		return forever
	}
	return d
}

// retryAfter is the parameter of faults that may carry the header of that name.
func retryAfter(value string) param {
	return param{name: "retry_after", value: value, form: whole, about: "seconds in the Retry-After header"}
}

// afterDeltas is the parameter of faults in the middle of a stream.
func afterDeltas(value string) param {
	return param{name: "after", value: value, form: whole, about: "how many pieces of the answer arrive before"}
}
