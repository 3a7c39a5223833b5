//go:build integration

package stack

import (
	"encoding/json"
	"fmt"
	"net/http"
	"strings"

	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

// Kinds of spans, as OTLP numbers them.
const (
	kindClient   = 3
	kindProducer = 4
	kindConsumer = 5
)

// jaeger is an all-in-one Jaeger in memory. Containers send spans to
// http://jaeger:4318.
type jaeger struct {
	*box
	query string // address of its query API
	otlp  string // host:port where the test sends spans
}

func (s *stage) jaeger(options ...testcontainers.ContainerCustomizer) *jaeger {
	s.t.Helper()
	b := s.run("jaeger", image(jaegerImage), append([]testcontainers.ContainerCustomizer{
		testcontainers.WithEnv(settings{"JAEGER_LISTEN_HOST": "0.0.0.0"}),
		s.published("4318/tcp", "16686/tcp"),
		testcontainers.WithWaitStrategy(wait.ForHTTP("/api/v3/services").WithPort("16686/tcp").WithStartupTimeout(patience)),
	}, options...)...)
	query, err := b.PortEndpoint(s.t.Context(), "16686/tcp", "http")
	s.must("Jaeger's query port", err)
	otlp, err := b.PortEndpoint(s.t.Context(), "4318/tcp", "")
	s.must("Jaeger's OTLP port", err)
	return &jaeger{box: b, query: query, otlp: otlp}
}

// span is a span as Jaeger's query API returns it.
type span struct {
	TraceID    string `json:"traceId"`
	ID         string `json:"spanId"`
	Parent     string `json:"parentSpanId"`
	Name       string `json:"name"`
	Kind       int    `json:"kind"`
	StartedAt  string `json:"startTimeUnixNano"`
	Attributes fields `json:"attributes"`
	resource   fields
	Status     struct {
		Code int `json:"code"`
	} `json:"status"`
}

// failed reports whether the span has the status Error.
func (s span) failed() bool { return s.Status.Code == 2 }

// service is who sent the span.
func (s span) service() string { return s.resource["service.name"] }

// fields are attributes with their values as text.
type fields map[string]string

// UnmarshalJSON reads a list of keys and typed values.
func (f *fields) UnmarshalJSON(text []byte) error {
	var list []struct {
		Key   string                     `json:"key"`
		Value map[string]json.RawMessage `json:"value"`
	}
	if err := json.Unmarshal(text, &list); err != nil {
		return err
	}
	*f = fields{}
	for _, attribute := range list {
		for _, value := range attribute.Value { // one, under the name of its type
			(*f)[attribute.Key] = strings.Trim(string(value), `"`)
		}
	}
	return nil
}

// trace waits until Jaeger holds a trace that is complete, and returns its
// spans and the text they came in.
func (j *jaeger) trace(id string, complete func([]span) bool) (spans []span, text string) {
	j.stage.t.Helper()
	j.stage.until("trace "+id+" in Jaeger", func() (string, bool) {
		var status int
		var err error
		status, text, err = j.stage.get(j.query + "/api/v3/traces/" + id)
		if err != nil || status != http.StatusOK {
			return fmt.Sprintf("status %d: %s, %v", status, text, err), false
		}
		spans = j.decode(text)
		return names(spans), complete(spans)
	})
	return spans, text
}

func (j *jaeger) decode(text string) (spans []span) {
	j.stage.t.Helper()
	var answer struct {
		Result struct {
			ResourceSpans []struct {
				Resource struct {
					Attributes fields `json:"attributes"`
				} `json:"resource"`
				ScopeSpans []struct {
					Spans []span `json:"spans"`
				} `json:"scopeSpans"`
			} `json:"resourceSpans"`
		} `json:"result"`
	}
	if err := json.Unmarshal([]byte(text), &answer); err != nil {
		j.stage.t.Fatalf("Jaeger's answer: %v\n%s", err, text)
	}
	for _, r := range answer.Result.ResourceSpans {
		for _, scope := range r.ScopeSpans {
			for _, s := range scope.Spans {
				s.resource = r.Resource.Attributes
				spans = append(spans, s)
			}
		}
	}
	return spans
}

func names(spans []span) string {
	var all []string
	for _, s := range spans {
		all = append(all, s.service()+": "+s.Name)
	}
	return strings.Join(all, ", ")
}
