package kubernetes

import (
	"net"
	"net/url"
	"slices"
	"strconv"
	"testing"

	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	metav1 "k8s.io/apimachinery/pkg/apis/meta/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
)

// reachable are the ports of TCP that the policies let a workload call, anywhere.
func (b build) reachable(tb testing.TB, name string) map[int]bool {
	tb.Helper()
	ports := map[int]bool{}
	for _, object := range b {
		p, ok := object.(*networkingv1.NetworkPolicy)
		if !ok || !b.takes(tb, &p.Spec.PodSelector, name) {
			continue
		}
		for _, rule := range p.Spec.Egress {
			if len(rule.To) == 0 {
				tb.Errorf("%s lets %s call everybody", p.Name, name)
			}
			for _, allowed := range rule.Ports {
				if *allowed.Protocol == corev1.ProtocolTCP {
					ports[b.number(tb, rule.To[0].PodSelector, *allowed.Port)] = true
				}
			}
		}
	}
	return ports
}

func (b build) takes(tb testing.TB, selector *metav1.LabelSelector, name string) bool {
	tb.Helper()
	return slices.Contains(b.selected(tb, selector), name)
}

// number returns a port, which may be a name that the pods of a selector give it.
func (b build) number(tb testing.TB, selector *metav1.LabelSelector, named intstr.IntOrString) int {
	tb.Helper()
	if named.Type == intstr.Int {
		return named.IntValue()
	}
	for _, name := range b.selected(tb, selector) {
		return port(tb, b.workloads()[name].container(tb), named)
	}
	tb.Errorf("nobody has the port %s", named.String())
	return 0
}

// What the settings name can be called, and nothing else.
func TestPoliciesAllowWhatSettingsName(t *testing.T) {
	for overlay, b := range overlays(t) {
		for name, w := range b.workloads() {
			if !w.ours() {
				continue
			}
			t.Run(overlay+"/"+name, func(t *testing.T) {
				c, set := load(t, b, w), b.environment(t, w)
				called := []string{c.NATS.URL}
				if name == worker {
					called = append(called, c.BaseURL)
				}
				if collector := set["OTEL_EXPORTER_OTLP_ENDPOINT"]; collector != "" {
					called = append(called, collector)
				}
				ports := b.reachable(t, name)
				if !ports[53] {
					t.Error("it cannot ask for a name")
				}
				for _, address := range called {
					if n := portOf(t, address); !ports[n] {
						t.Errorf("%s cannot be called: %v", address, ports)
					}
				}
				for n := range ports {
					switch n {
					case 53, 443, 4222, 4317, 4318, 8099:
					default:
						t.Errorf("nobody needs port %d", n)
					}
				}
			})
		}
	}
}

func portOf(tb testing.TB, address string) int {
	tb.Helper()
	u, err := url.Parse(address)
	if err != nil {
		tb.Fatal(err)
	}
	if u.Port() == "" && u.Scheme == "https" {
		return 443
	}
	n, err := strconv.Atoi(u.Port())
	if err != nil {
		tb.Fatalf("%s: %v", address, err)
	}
	return n
}

// The addresses of the demo are its Services, which lead to ports that are there,
// and which the policies of those pods let in.
func TestDemoServices(t *testing.T) {
	b := objects(t, readTree(t), demo)
	c := load(t, b, b.workloads()[worker])
	for _, address := range []string{c.NATS.URL, c.BaseURL} {
		u, err := url.Parse(address)
		if err != nil {
			t.Fatal(err)
		}
		s, ok := b["Service/"+u.Hostname()].(*corev1.Service)
		if !ok || net.JoinHostPort(s.Name, strconv.Itoa(int(s.Spec.Ports[0].Port))) != u.Host {
			t.Errorf("%s is no Service: %v", address, s)
			continue
		}
		leads := b.number(t, &metav1.LabelSelector{MatchLabels: s.Spec.Selector}, s.Spec.Ports[0].TargetPort)
		policy := object[*networkingv1.NetworkPolicy](t, b, s.Name)
		if lets := b.number(t, &policy.Spec.PodSelector, *policy.Spec.Ingress[0].Ports[0].Port); lets != leads {
			t.Errorf("%s leads to port %d, its policy lets in %d", address, leads, lets)
		}
		if from := policy.Spec.Ingress[0].From[0].PodSelector; !b.takes(t, from, worker) {
			t.Errorf("%s: workers are not let in", address)
		}
	}
}

// The simulator listens at the port of its container.
func TestSimulatorListens(t *testing.T) {
	c := objects(t, readTree(t), demo).workloads()["Deployment/openrouter-sim"].container(t)
	if address := "0.0.0.0:" + strconv.Itoa(int(c.Ports[0].ContainerPort)); !slices.Equal(c.Args[:2], []string{"--addr", address}) {
		t.Errorf("its port is that of %s, it is told %v", address, c.Args)
	}
}

// Metrics are for whoever watches, and for nobody else.
func TestMetricsPortIsForMonitoring(t *testing.T) {
	for overlay, b := range overlays(t) {
		in := object[*networkingv1.NetworkPolicy](t, b, "gemini-client").Spec.Ingress
		if len(in) != 1 || len(in[0].From) != 1 || in[0].From[0].NamespaceSelector.MatchLabels[corev1.LabelMetadataName] != "monitoring" || len(in[0].Ports) != 1 {
			t.Fatalf("%s: %v", overlay, in)
		}
		port(t, b.workloads()[worker].container(t), *in[0].Ports[0].Port)
	}
}
