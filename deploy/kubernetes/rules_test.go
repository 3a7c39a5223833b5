package kubernetes

import (
	"regexp"
	"strings"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
)

// What README.md's command makes of a file of rules is a PrometheusRule.
func TestRulesBecomeAPrometheusRule(t *testing.T) {
	files := sources(t)
	m := regexp.MustCompile(`printf '([^']+)'; sed 's/\^/  /'`).FindStringSubmatch(files["kubernetes/README.md"])
	if m == nil {
		t.Fatal("README.md has no such command")
	}
	text := strings.ReplaceAll(m[1], `\n`, "\n") + "  " + strings.ReplaceAll(strings.TrimSpace(files["prometheus/alerts.yaml"]), "\n", "\n  ")
	object, err := decode(decoder(t), text)
	if err != nil {
		t.Fatal(err)
	}
	if rule, ok := object.(*monitoringv1.PrometheusRule); !ok || len(rule.Spec.Groups) == 0 || rule.Name != "gemini-client" {
		t.Errorf("%+v", object)
	}
}
