package kubernetes

import (
	"maps"
	"path"
	"slices"
	"strings"
	"testing"

	appsv1 "k8s.io/api/apps/v1"
	batchv1 "k8s.io/api/batch/v1"
	corev1 "k8s.io/api/core/v1"
	"k8s.io/apimachinery/pkg/runtime"
)

const (
	base       = "kubernetes/base"
	demo       = "kubernetes/overlays/demo"
	production = "kubernetes/overlays/production"
)

// build is what one kustomization makes: its objects, by kind/name.
type build map[string]runtime.Object

// overlays are what people apply, by name: the last one as it is when the line of
// KEDA is no comment any more.
func overlays(tb testing.TB) map[string]build {
	tb.Helper()
	tree := readTree(tb)
	replace(tb, tree, production+"/kustomization.yaml", "# - ../../components/keda", "- ../../components/keda")
	return map[string]build{
		"demo":            objects(tb, readTree(tb), demo),
		"production":      objects(tb, readTree(tb), production),
		"production+keda": objects(tb, tree, production),
	}
}

// object returns the one object of a type whose name begins like this: those of
// generators end in a hash.
func object[T runtime.Object](tb testing.TB, b build, name string) T {
	tb.Helper()
	for _, key := range slices.Sorted(maps.Keys(b)) {
		if found, ok := b[key].(T); ok && strings.HasPrefix(path.Base(key), name) {
			return found
		}
	}
	tb.Fatalf("there is no %s", name)
	panic("unreachable")
}

// workload is something that makes pods.
type workload struct {
	name string // kind/name
	pod  corev1.PodTemplateSpec
}

// workloads are those of a build, by kind/name.
func (b build) workloads() map[string]workload {
	found := map[string]workload{}
	for name, object := range b {
		switch o := object.(type) {
		case *appsv1.Deployment:
			found[name] = workload{name, o.Spec.Template}
		case *appsv1.StatefulSet:
			found[name] = workload{name, o.Spec.Template}
		case *appsv1.DaemonSet:
			found[name] = workload{name, o.Spec.Template}
		case *batchv1.Job:
			found[name] = workload{name, o.Spec.Template}
		case *batchv1.CronJob:
			found[name] = workload{name, o.Spec.JobTemplate.Spec.Template}
		}
	}
	return found
}

// container is the one container that a workload of this service has.
func (w workload) container(tb testing.TB) corev1.Container {
	tb.Helper()
	if n := len(w.pod.Spec.Containers) + len(w.pod.Spec.InitContainers); n != 1 {
		tb.Fatalf("%s has %d containers", w.name, n)
	}
	return w.pod.Spec.Containers[0]
}

// ours says whether it runs the program gemini-client.
func (w workload) ours() bool {
	image, _, _ := strings.Cut(path.Base(w.pod.Spec.Containers[0].Image), ":")
	return image == "gemini-client"
}

// environment is what a container finds set: of the same name the last one counts.
func (b build) environment(tb testing.TB, w workload) map[string]string {
	tb.Helper()
	set := map[string]string{}
	c := w.container(tb)
	for _, from := range c.EnvFrom {
		if from.ConfigMapRef == nil || from.Prefix != "" {
			tb.Errorf("%s: only ConfigMaps without a prefix are understood here: %v", w.name, from)
			continue
		}
		settings, ok := b["ConfigMap/"+from.ConfigMapRef.Name].(*corev1.ConfigMap)
		if !ok {
			tb.Errorf("%s: there is no ConfigMap %s", w.name, from.ConfigMapRef.Name)
			continue
		}
		maps.Copy(set, settings.Data)
	}
	for _, variable := range c.Env {
		if variable.ValueFrom != nil {
			tb.Errorf("%s: %s: secrets are files, and what else is not known here", w.name, variable.Name)
		}
		set[variable.Name] = variable.Value
	}
	return set
}

// secretFile returns which Secret's key a path is in a workload's container; ok is
// false if no Secret is mounted there.
func (w workload) secretFile(tb testing.TB, file string) (secret, key string, ok bool) {
	tb.Helper()
	for _, mount := range w.container(tb).VolumeMounts {
		if mount.MountPath != path.Dir(file) {
			continue
		}
		for _, volume := range w.pod.Spec.Volumes {
			if volume.Name == mount.Name && volume.Secret != nil {
				return volume.Secret.SecretName, path.Base(file), true
			}
		}
	}
	return "", "", false
}
