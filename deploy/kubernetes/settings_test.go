package kubernetes

import (
	"os"
	"path/filepath"
	"regexp"
	"strings"
	"testing"
	"time"

	appsv1 "k8s.io/api/apps/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/api/resource"

	"gemini-client/service/config"
)

const worker = "Deployment/gemini-client"

// known are the names of the settings. Older names are none: new manifests have
// no need of them.
func known() map[string]bool {
	names := map[string]bool{}
	for _, s := range new(config.Config).Settings() {
		names[s.Name] = true
	}
	return names
}

func TestVariablesAreSettings(t *testing.T) {
	settings := known()
	for overlay, b := range overlays(t) {
		for _, w := range b.workloads() {
			for name := range b.environment(t, w) {
				if other := strings.HasPrefix(name, "OTEL_") || name == "GOMEMLIMIT"; w.ours() && !other && !settings[name] {
					t.Errorf("%s: %s: %s is no setting of the service", overlay, w.name, name)
				}
			}
		}
	}
}

// load loads the settings of a workload as its program does. A file of a Secret
// that the build has is there with its text; one that the README says how to make
// is there as well.
func load(t *testing.T, b build, w workload) config.Config {
	t.Helper()
	for name := range known() {
		t.Setenv(name, "") // not set
	}
	for name, value := range b.environment(t, w) {
		if strings.HasPrefix(value, "/run/secrets/") {
			value = secretOnDisk(t, b, w, value)
		}
		t.Setenv(name, value)
	}
	c, warnings, err := config.Load("", "")
	if err != nil || len(warnings) > 0 {
		t.Fatalf("%s: %v, warnings %v", w.name, err, warnings)
	}
	return c
}

// secretOnDisk writes a Secret's file into a folder of the test and returns where.
func secretOnDisk(t *testing.T, b build, w workload, file string) string {
	t.Helper()
	secret, key, ok := w.secretFile(t, file)
	if !ok {
		t.Fatalf("%s: no Secret is mounted at %s", w.name, filepath.Dir(file))
	}
	text := []byte("sk-or-test-of-the-manifests")
	if have, ok := b["Secret/"+secret].(*corev1.Secret); ok {
		if text, ok = have.Data[key]; !ok {
			t.Fatalf("%s: Secret %s has no %s", w.name, secret, key)
		}
	} else if command := creates(t, secret); !strings.Contains(command, "--from-file="+key+"=") {
		t.Fatalf("%s: no Secret %s with %s is in the build, and README.md says of none: %q", w.name, secret, key, command)
	}
	path := filepath.Join(t.TempDir(), key)
	if err := os.WriteFile(path, text, 0o600); err != nil {
		t.Fatal(err)
	}
	return path
}

// creates returns the command of README.md that makes a Secret, "" if it has none.
func creates(tb testing.TB, secret string) string {
	tb.Helper()
	text := strings.ReplaceAll(sources(tb)["kubernetes/README.md"], "\\\n", " ")
	return regexp.MustCompile(`(?m)^.*create secret generic ` + regexp.QuoteMeta(secret) + ` .*$`).FindString(text)
}

func TestSettingsLoad(t *testing.T) {
	for overlay, b := range overlays(t) {
		for name, w := range b.workloads() {
			if !w.ours() {
				continue
			}
			t.Run(overlay+"/"+name, func(t *testing.T) {
				c := load(t, b, w)
				if name != worker {
					return
				}
				if err := c.RequireKeys(); err != nil {
					t.Error(err)
				}
				if c.Provision {
					t.Error("NATS_PROVISION: the job alone has the right to make streams")
				}
			})
		}
	}
}

// Every setting that is a file comes from a Secret that only its own program has.
func TestCredentialsAreApart(t *testing.T) {
	for overlay, b := range overlays(t) {
		users := map[string]string{} // of a Secret of NATS
		for name, w := range b.workloads() {
			for _, volume := range w.pod.Spec.Volumes {
				if volume.Secret == nil {
					continue
				}
				if other, twice := users[volume.Secret.SecretName]; twice {
					t.Errorf("%s: %s and %s share the Secret %s", overlay, name, other, volume.Secret.SecretName)
				}
				users[volume.Secret.SecretName] = name
			}
		}
	}
}

func TestGracePeriodOutlastsShutdown(t *testing.T) {
	for overlay, b := range overlays(t) {
		t.Run(overlay, func(t *testing.T) {
			w := b.workloads()[worker]
			grace, shutdown := time.Duration(*w.pod.Spec.TerminationGracePeriodSeconds)*time.Second, load(t, b, w).ShutdownTimeout
			if more := 10 * time.Second; grace < shutdown+more {
				t.Errorf("terminationGracePeriodSeconds is %s, not %s above SHUTDOWN_TIMEOUT (%s)", grace, more, shutdown)
			}
		})
	}
}

// Go's limit leaves a tenth of the container's memory to what is not on its heap.
func TestMemoryLimits(t *testing.T) {
	for overlay, b := range overlays(t) {
		for name, w := range b.workloads() {
			c := w.container(t)
			limit := c.Resources.Limits.Memory()
			if limit.IsZero() || c.Resources.Requests.Memory().IsZero() || c.Resources.Requests.Cpu().IsZero() {
				t.Errorf("%s: %s: memory limit %v, requests %v: want all of them", overlay, name, limit, c.Resources.Requests)
			}
			text, set := b.environment(t, w)["GOMEMLIMIT"]
			if name == worker && !set {
				t.Errorf("%s: the worker has no GOMEMLIMIT", overlay)
			}
			if !set {
				continue
			}
			goLimit, err := resource.ParseQuantity(strings.TrimSuffix(text, "B"))
			if err != nil || !strings.HasSuffix(text, "iB") {
				t.Errorf("%s: %s: GOMEMLIMIT=%s: %v", overlay, name, text, err)
			}
			if share := goLimit.AsApproximateFloat64() / limit.AsApproximateFloat64(); share < 0.85 || share > 0.91 {
				t.Errorf("%s: %s: GOMEMLIMIT=%s is %.2f of %s, want 0.85 to 0.91", overlay, name, text, share, limit)
			}
		}
	}
}

// Production sets aside all the memory that a worker may use.
func TestProductionIsNotEvictedForMemory(t *testing.T) {
	c := object[*appsv1.Deployment](t, objects(t, readTree(t), production), "gemini-client").Spec.Template.Spec.Containers[0]
	if c.Resources.Requests.Memory().Cmp(*c.Resources.Limits.Memory()) != 0 {
		t.Errorf("requests %s of %s", c.Resources.Requests.Memory(), c.Resources.Limits.Memory())
	}
}
