package kubernetes

import (
	"os"
	"regexp"
	"slices"
	"strconv"
	"strings"
	"testing"

	"github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"

	"gemini-client/service/bus"
)

// scaled is production with KEDA.
func scaled(tb testing.TB) (build, *v1alpha1.ScaledObject) {
	tb.Helper()
	b := overlays(tb)["production+keda"]
	return b, object[*v1alpha1.ScaledObject](tb, b, "gemini-client")
}

// KEDA's own checks, and what it scales.
func TestScaledObject(t *testing.T) {
	b, s := scaled(t)
	for _, err := range []error{v1alpha1.CheckReplicaCountBoundsAreValid(s), v1alpha1.CheckFallbackValid(s), v1alpha1.ValidateTriggers(s.Spec.Triggers)} {
		if err != nil {
			t.Error(err)
		}
	}
	if b["Deployment/"+s.Spec.ScaleTargetRef.Name] == nil {
		t.Errorf("there is no Deployment %s", s.Spec.ScaleTargetRef.Name)
	}
	if *s.Spec.MinReplicaCount < 2 {
		t.Errorf("minReplicaCount is %d: a drain would leave no worker", *s.Spec.MinReplicaCount)
	}
	object[*monitoringv1.PodMonitor](t, b, "gemini-client") // two of its triggers ask Prometheus
}

// metadata are the fields that KEDA's scalers read: they ignore any other, so that
// one that is misspelt would be none.
func metadata() map[string][]string {
	return map[string][]string{
		"nats-jetstream": {"account", "activationLagThreshold", "consumer", "lagThreshold", "natsServerMonitoringEndpoint", "stream", "useHttps"},
		"prometheus":     {"activationThreshold", "ignoreNullValues", "query", "serverAddress", "threshold"},
	}
}

func TestTriggerMetadata(t *testing.T) {
	_, s := scaled(t)
	for _, trigger := range s.Spec.Triggers {
		fields, ok := metadata()[trigger.Type]
		if !ok {
			t.Errorf("%s: the type %s is not known here", trigger.Name, trigger.Type)
		}
		for field := range trigger.Metadata {
			if !slices.Contains(fields, field) {
				t.Errorf("%s: KEDA reads no %s", trigger.Name, field)
			}
		}
	}
}

// trigger returns one by its name.
func trigger(tb testing.TB, s *v1alpha1.ScaledObject, name string) v1alpha1.ScaleTriggers {
	tb.Helper()
	i := slices.IndexFunc(s.Spec.Triggers, func(t v1alpha1.ScaleTriggers) bool { return t.Name == name })
	if i < 0 {
		tb.Fatalf("there is no trigger %s", name)
	}
	return s.Spec.Triggers[i]
}

// The queue is that of the settings, and a worker is added before the slots are full.
func TestTriggersCountSlots(t *testing.T) {
	b, s := scaled(t)
	c := load(t, b, b.workloads()[worker])
	requests := trigger(t, s, "requests").Metadata
	if requests["stream"] != c.Names().RequestsStream() || requests["consumer"] != bus.Durable {
		t.Errorf("%v, want %s of %s", requests, bus.Durable, c.Names().RequestsStream())
	}
	for name, text := range map[string]string{"requests": requests["lagThreshold"], "everything": trigger(t, s, "everything").Metadata["threshold"]} {
		if lag, err := strconv.Atoi(text); err != nil || lag*10 < c.Concurrency*5 || lag*10 > c.Concurrency*9 {
			t.Errorf("%s: a replica for each %s requests, %v: WORKER_CONCURRENCY is %d", name, text, err, c.Concurrency)
		}
	}
	if query := trigger(t, s, "oldest").Metadata["query"]; !strings.Contains(query, `queue="`+c.Names().RequestQueue+`"`) {
		t.Errorf("%s: does not ask for %s", query, c.Names().RequestQueue)
	}
}

var (
	metricAsked = regexp.MustCompile(`(gemini_\w+)\{([^}]*)\}`)
	labelAsked  = regexp.MustCompile(`(\w+)=~?"`)
)

// Each metric is one of the service, with the labels that are asked for, and of this
// namespace alone: another installation has the same ones.
func TestQueriesNameMetrics(t *testing.T) {
	text, err := os.ReadFile("../../telemetry/README.md")
	if err != nil {
		t.Fatal(err)
	}
	_, s := scaled(t)
	asked := 0
	for _, trigger := range s.Spec.Triggers {
		query := trigger.Metadata["query"]
		metrics := metricAsked.FindAllStringSubmatch(query, -1)
		if strings.Count(query, "gemini_") != len(metrics) {
			t.Errorf("%s: %s: a metric without labels", trigger.Name, query)
		}
		for _, m := range metrics {
			asked++
			row := regexp.MustCompile("(?m)^\\| `" + m[1] + "` .*$").FindString(string(text))
			for _, label := range labelAsked.FindAllStringSubmatch(m[2], -1) {
				if row == "" || label[1] != "namespace" && !strings.Contains(row, "`"+label[1]+"`") {
					t.Errorf("%s: telemetry/README.md has no %s with %s", trigger.Name, m[1], label[1])
				}
			}
			if !strings.Contains(m[2], `namespace="`+s.Namespace+`"`) {
				t.Errorf("%s: %s is not of the namespace %s", trigger.Name, m[0], s.Namespace)
			}
		}
	}
	if asked < 4 {
		t.Errorf("%d metrics are asked for", asked)
	}
}
