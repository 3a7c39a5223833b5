// Package kubernetes holds the manifests of the service, as bases, components and
// overlays of kustomize. Its tests build them as kubectl apply -k does and decode
// every object strictly into the types of its API.
package kubernetes
