//go:build integration

package stack

import (
	"encoding/json"
	"fmt"
	"net/url"
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	"github.com/prometheus/common/model"
	"github.com/testcontainers/testcontainers-go"
	"github.com/testcontainers/testcontainers-go/wait"
)

// prometheus is a server with the configuration and the alerts of
// deploy/prometheus, in a hurry: it scrapes and evaluates every second, and what
// has to last for minutes lasts for as many seconds.
type prometheus struct {
	*box
	url string
}

func (s *stage) prometheus(options ...testcontainers.ContainerCustomizer) *prometheus {
	s.t.Helper()
	hurried := strings.ReplaceAll(s.observed("prometheus.yml"), "15s", "1s")
	rules := regexp.MustCompile(`(?m)^( +for: \d+)m$`).ReplaceAllString(s.observed("alerts.yaml"), "${1}s")
	b := s.run("prometheus", image(prometheusImage), append([]testcontainers.ContainerCustomizer{
		testcontainers.WithCmd("--config.file=/etc/prometheus/prometheus.yml", "--storage.tsdb.path=/prometheus", "--enable-feature=exemplar-storage"),
		file("/etc/prometheus/prometheus.yml", hurried),
		file("/etc/prometheus/alerts.yaml", rules),
		s.published("9090/tcp"),
		testcontainers.WithWaitStrategy(wait.ForHTTP("/-/ready").WithPort("9090/tcp").WithStartupTimeout(patience)),
	}, options...)...)
	url, err := b.PortEndpoint(s.t.Context(), "9090/tcp", "http")
	s.must("Prometheus's port", err)
	return &prometheus{box: b, url: url}
}

// observed is a file of deploy/prometheus.
func (s *stage) observed(name string) string {
	s.t.Helper()
	text, err := os.ReadFile(filepath.Join(root, "deploy/prometheus", name))
	s.must(name, err)
	return string(text)
}

// ask asks Prometheus's HTTP API and decodes what it says into data. Its own client
// would bring a JSON library along that nobody keeps any more.
func (p *prometheus) ask(path string, parameters url.Values, data any) error {
	_, body, err := p.stage.get(p.url + "/api/v1/" + path + "?" + parameters.Encode())
	if err != nil {
		return err
	}
	answer := struct {
		Status string `json:"status"`
		Error  string `json:"error"`
		Data   any    `json:"data"`
	}{Data: data}
	if err := json.Unmarshal([]byte(body), &answer); err != nil {
		return fmt.Errorf("%s: %w in %s", path, err, body)
	}
	if answer.Status != "success" {
		return fmt.Errorf("%s: %s", path, answer.Error)
	}
	return nil
}

// query returns the present values of an expression.
func (p *prometheus) query(expr string) (values model.Vector, err error) {
	err = p.ask("query", url.Values{"query": {expr}}, &struct{ Result any }{&values})
	return values, err
}

// firing returns the names of the alerts that fire.
func (p *prometheus) firing() map[string]bool {
	p.stage.t.Helper()
	var all struct {
		Alerts []struct {
			State  string
			Labels model.LabelSet
		}
	}
	p.stage.must("alerts", p.ask("alerts", nil, &all))
	names := map[string]bool{}
	for _, a := range all.Alerts {
		if a.State == "firing" {
			names[string(a.Labels[model.AlertNameLabel])] = true
		}
	}
	return names
}

// becomes waits until an alert fires, or does not, and returns how long that took.
func (p *prometheus) becomes(alert string, firing bool) time.Duration {
	p.stage.t.Helper()
	begun := time.Now()
	p.stage.until(fmt.Sprintf("%s fires: %t", alert, firing), func() (string, bool) {
		now := p.firing()
		return fmt.Sprint(now), now[alert] == firing
	})
	return time.Since(begun).Round(time.Second)
}

// The rules are well-formed, and each alert fires and is silent as
// alerts_test.yaml says.
func TestAlertRules(t *testing.T) {
	t.Parallel()
	s := newStage(t)
	for _, args := range [][]string{
		{"check", "config", "/etc/prometheus/prometheus.yml"}, // and the rules it names
		{"test", "rules", "/etc/prometheus/alerts_test.yaml"},
	} {
		options := []testcontainers.ContainerCustomizer{
			testcontainers.WithEntrypoint("promtool"), testcontainers.WithCmd(args...),
			testcontainers.WithWaitStrategyAndDeadline(patience, wait.ForExit()),
		}
		for _, name := range []string{"prometheus.yml", "alerts.yaml", "alerts_test.yaml"} {
			options = append(options, file("/etc/prometheus/"+name, s.observed(name)))
		}
		b := s.run("promtool", image(prometheusImage), options...)
		if code, said := b.exit(), b.log(); code != 0 || !strings.Contains(said, "SUCCESS") {
			t.Errorf("promtool %s: exit code %d\n%s", strings.Join(args, " "), code, said)
		}
	}
}
