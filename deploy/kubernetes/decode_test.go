package kubernetes

import (
	"fmt"
	"path"
	"strings"
	"testing"

	"github.com/kedacore/keda/v2/apis/keda/v1alpha1"
	monitoringv1 "github.com/prometheus-operator/prometheus-operator/pkg/apis/monitoring/v1"
	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	networkingv1 "k8s.io/api/networking/v1"
	policyv1 "k8s.io/api/policy/v1"
	"k8s.io/apimachinery/pkg/runtime"
	"k8s.io/apimachinery/pkg/runtime/serializer"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// decoder reads a YAML document into the type of its apiVersion and kind. A kind
// that it does not know, a field that the type does not have, and one that is
// there twice are errors.
func decoder(tb testing.TB) runtime.Decoder {
	tb.Helper()
	scheme := runtime.NewScheme()
	for _, add := range []func(*runtime.Scheme) error{
		corev1.AddToScheme, appsv1.AddToScheme, batchv1.AddToScheme, policyv1.AddToScheme, networkingv1.AddToScheme,
		v1alpha1.AddToScheme, monitoringv1.AddToScheme,
	} {
		if err := add(scheme); err != nil {
			tb.Fatal(err)
		}
	}
	return serializer.NewCodecFactory(scheme, serializer.EnableStrict).UniversalDeserializer()
}

// decode returns the object of a YAML document.
func decode(d runtime.Decoder, text string) (runtime.Object, error) {
	object, _, err := d.Decode([]byte(text), nil, nil)
	if err != nil {
		return nil, fmt.Errorf("%w in\n%s", err, text)
	}
	return object, nil
}

// objects builds a folder and decodes what comes out.
func objects(tb testing.TB, tree filesys.FileSystem, folder string) build {
	tb.Helper()
	texts, err := built(tree, folder)
	if err != nil {
		tb.Fatalf("%s: %v", folder, err)
	}
	all, d := build{}, decoder(tb)
	for name, text := range texts {
		if all[name], err = decode(d, text); err != nil {
			tb.Errorf("%s: %v", folder, err)
		}
	}
	if len(all) == 0 {
		tb.Fatalf("%s has no objects", folder)
	}
	return all
}

func TestEveryBuildDecodes(t *testing.T) {
	for name, text := range sources(t) {
		folder, file := path.Split(name)
		switch {
		case file != "kustomization.yaml":
		case strings.Contains(text, "kind: Component\n"):
			t.Run(folder, func(t *testing.T) {
				tree := readTree(t)
				write(t, tree, "tried/kustomization.yaml", "resources: [../kubernetes/base]\ncomponents: [../"+folder+"]\n")
				if with, without := objects(t, tree, "tried"), objects(t, tree, base); len(with) <= len(without) {
					t.Errorf("it adds nothing")
				}
			})
		case strings.Contains(text, "kind: Kustomization\n"):
			t.Run(folder, func(t *testing.T) { objects(t, readTree(t), folder) })
		default:
			t.Errorf("%s is of no kind that is known here", name)
		}
	}
}

// kustomize reads YAML its own way. So each file is read as it was written, too,
// patches among them: no field of these types is needed.
func TestEveryFileDecodes(t *testing.T) {
	d := decoder(t)
	for name, text := range sources(t) {
		if !strings.HasPrefix(name, "kubernetes/") || path.Ext(name) != ".yaml" || path.Base(name) == "kustomization.yaml" {
			continue
		}
		for document := range strings.SplitSeq(text, "\n---\n") {
			if _, err := decode(d, document); err != nil {
				t.Errorf("%s: %v", name, err)
			}
		}
	}
}

// What the tests above find.
func TestWrongManifestsFail(t *testing.T) {
	const deployment = "kubernetes/base/deployment.yaml"
	d := decoder(t)
	for name, c := range map[string]struct{ before, after, want string }{
		"unknown field":           {"minReadySeconds:", "minReadySecond:", `unknown field "spec.minReadySecond"`},
		"unknown field, below":    {"periodSeconds: 2\n", "period: 2\n", `unknown field "spec.template.spec.containers[0].startupProbe.period"`},
		"wrong type":              {"minReadySeconds: 10", "minReadySeconds: ten", "minReadySeconds"},
		"unknown kind":            {"kind: Deployment", "kind: Deploiment", `no kind "Deploiment" is registered`},
		"unknown field, template": {"      labels: {app.kubernetes.io/name", "      label: {app.kubernetes.io/name", `unknown field "spec.template.metadata.label"`},
		"unknown version":         {"apiVersion: apps/v1\n", "apiVersion: apps/v1beta9\n", "apps/v1beta9"},
	} {
		t.Run(name, func(t *testing.T) {
			tree := readTree(t)
			replace(t, tree, deployment, c.before, c.after)
			texts, err := built(tree, "kubernetes/base")
			for _, text := range texts {
				if _, failed := decode(d, text); failed != nil {
					err = failed
				}
			}
			if err == nil || !strings.Contains(err.Error(), c.want) {
				t.Errorf("%v, want %s", err, c.want)
			}
		})
	}
	twice := strings.Replace(sources(t)[deployment], "  minReadySeconds: 10\n", "  minReadySeconds: 10\n  minReadySeconds: 20\n", 1)
	if _, err := decode(d, twice); err == nil || !strings.Contains(err.Error(), `"minReadySeconds" already set`) {
		t.Errorf("a field that is there twice: %v", err)
	}
	tree := readTree(t)
	replace(t, tree, base+"/kustomization.yaml", "configMapGenerator:", "configMapGenerators:")
	if _, err := built(tree, base); err == nil || !strings.Contains(err.Error(), `unknown field "configMapGenerators"`) {
		t.Errorf("an unknown field of a kustomization: %v", err)
	}
}
