package kubernetes

import (
	"net"
	"net/http"
	"net/http/httptest"
	"regexp"
	"slices"
	"strconv"
	"testing"

	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/util/intstr"
	"k8s.io/pod-security-admission/api"
	"k8s.io/pod-security-admission/policy"

	"gemini-client/service"
)

// restricted returns why a namespace that enforces the Pod Security Standard
// "restricted" would refuse a pod; nothing if it would not. It is the API server's
// own check.
func restricted(tb testing.TB, w workload) []string {
	tb.Helper()
	evaluator, err := policy.NewEvaluator(policy.DefaultChecks(), nil)
	if err != nil {
		tb.Fatal(err)
	}
	level := api.LevelVersion{Level: api.LevelRestricted, Version: api.LatestVersion()}
	return policy.AggregateCheckResults(evaluator.EvaluatePod(level, &w.pod.ObjectMeta, &w.pod.Spec)).ForbiddenReasons
}

// beyond returns what the standard does not ask for, and an image such as ours needs.
func beyond(tb testing.TB, w workload) (problems []string) {
	tb.Helper()
	c, spec := w.container(tb), w.pod.Spec
	if root := c.SecurityContext.ReadOnlyRootFilesystem; root == nil || !*root {
		problems = append(problems, "its root file system can be written")
	}
	if token := spec.AutomountServiceAccountToken; token == nil || *token {
		problems = append(problems, "it has a token of the API server")
	}
	if links := spec.EnableServiceLinks; links == nil || *links {
		problems = append(problems, "other Services set variables in it")
	}
	return problems
}

func TestPodsAreRestricted(t *testing.T) {
	for overlay, b := range overlays(t) {
		for name, w := range b.workloads() {
			for _, problem := range append(restricted(t, w), beyond(t, w)...) {
				t.Errorf("%s: %s: %s", overlay, name, problem)
			}
		}
	}
}

// What the test above finds.
func TestLooserPodsAreFound(t *testing.T) {
	loosen := map[string]func(*corev1.PodSpec){
		"root":           func(p *corev1.PodSpec) { p.SecurityContext.RunAsUser = new(int64) },
		"may be root":    func(p *corev1.PodSpec) { p.SecurityContext.RunAsNonRoot = nil },
		"no seccomp":     func(p *corev1.PodSpec) { p.SecurityContext.SeccompProfile = nil },
		"capabilities":   func(p *corev1.PodSpec) { p.Containers[0].SecurityContext.Capabilities = nil },
		"escalation":     func(p *corev1.PodSpec) { p.Containers[0].SecurityContext.AllowPrivilegeEscalation = nil },
		"host network":   func(p *corev1.PodSpec) { p.HostNetwork = true },
		"root is writes": func(p *corev1.PodSpec) { p.Containers[0].SecurityContext.ReadOnlyRootFilesystem = nil },
		"token":          func(p *corev1.PodSpec) { p.AutomountServiceAccountToken = nil },
		"service links":  func(p *corev1.PodSpec) { p.EnableServiceLinks = nil },
	}
	for name, change := range loosen {
		w := objects(t, readTree(t), base).workloads()[worker]
		change(&w.pod.Spec)
		if len(restricted(t, w))+len(beyond(t, w)) == 0 {
			t.Errorf("%s: not found", name)
		}
	}
}

// The user is that of the image, which its secrets are readable for.
func TestUserIsTheImages(t *testing.T) {
	users := regexp.MustCompile(`(?m)^USER (\d+):(\d+)$`).FindAllStringSubmatch(sources(t)["Dockerfile"], -1)
	if len(users) != 2 || !slices.Equal(users[0], users[1]) {
		t.Fatalf("the users of deploy/Dockerfile: %v", users)
	}
	for overlay, b := range overlays(t) {
		for name, w := range b.workloads() {
			c, user := w.pod.Spec.SecurityContext, users[0]
			if strconv.FormatInt(*c.RunAsUser, 10) != user[1] || strconv.FormatInt(*c.RunAsGroup, 10) != user[2] {
				t.Errorf("%s: %s runs as %d:%d, the image as %s", overlay, name, *c.RunAsUser, *c.RunAsGroup, user[0])
			}
			for _, volume := range w.pod.Spec.Volumes {
				if s := volume.Secret; s != nil && (*s.DefaultMode != 0o440 || c.FSGroup == nil || *c.FSGroup != *c.RunAsGroup) {
					t.Errorf("%s: %s: Secret %s has mode %o, fsGroup %v", overlay, name, s.SecretName, *s.DefaultMode, c.FSGroup)
				}
			}
		}
	}
}

// port returns the number of a container's port that a probe or a policy names.
func port(tb testing.TB, c corev1.Container, named intstr.IntOrString) int {
	tb.Helper()
	for _, p := range c.Ports {
		if named.String() == p.Name || named.IntValue() == int(p.ContainerPort) {
			return int(p.ContainerPort)
		}
	}
	tb.Errorf("%s has no port %s", c.Name, named.String())
	return 0
}

// answer is the status of a page.
func answer(h http.Handler, path string) int {
	recorder := httptest.NewRecorder()
	h.ServeHTTP(recorder, httptest.NewRequest(http.MethodGet, path, http.NoBody))
	return recorder.Code
}

// The probes and Prometheus ask what the service serves, at the port where it does.
// While NATS is away it is alive and not ready, so that nobody restarts it.
func TestProbesWhileNATSIsAway(t *testing.T) {
	for overlay, b := range overlays(t) {
		t.Run(overlay, func(t *testing.T) {
			w := b.workloads()[worker]
			settings, c := load(t, b, w), w.container(t)
			s, err := service.New(settings, "test", quiet(t))
			if err != nil {
				t.Fatal(err)
			}
			_, listens, err := net.SplitHostPort(settings.HTTPAddr)
			if err != nil {
				t.Fatal(err)
			}
			probes := map[*corev1.Probe]int{c.StartupProbe: http.StatusOK, c.LivenessProbe: http.StatusOK, c.ReadinessProbe: http.StatusServiceUnavailable}
			for probe, want := range probes {
				if asks := port(t, c, probe.HTTPGet.Port); strconv.Itoa(asks) != listens {
					t.Errorf("a probe asks port %d, HTTP_ADDR is %s", asks, settings.HTTPAddr)
				}
				if code := answer(s.Handler(), probe.HTTPGet.Path); code != want {
					t.Errorf("%s: %d, want %d", probe.HTTPGet.Path, code, want)
				}
			}
			if overlay == "demo" {
				return
			}
			scraped := object[*monitoringv1.PodMonitor](t, b, "gemini-client").Spec.PodMetricsEndpoints[0]
			port(t, c, intstr.FromString(*scraped.Port))
			if code := answer(s.Handler(), scraped.Path); code != http.StatusOK {
				t.Errorf("%s: %d", scraped.Path, code)
			}
		})
	}
}
