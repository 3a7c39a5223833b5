package kubernetes

import (
	"io/fs"
	"os"
	"path"
	"strings"
	"testing"

	"sigs.k8s.io/kustomize/api/krusty"
	"sigs.k8s.io/kustomize/kyaml/filesys"
)

// root is where deploy/ is in the file systems of these tests.
const root = "/deploy"

// readTree returns a copy of deploy/ in memory, so that a test can break it.
func readTree(tb testing.TB) filesys.FileSystem {
	tb.Helper()
	tree := filesys.MakeFsInMemory()
	for name, text := range sources(tb) {
		write(tb, tree, name, text)
	}
	return tree
}

// sources are the files of deploy/, by their path in it.
func sources(tb testing.TB) map[string]string {
	tb.Helper()
	files := map[string]string{}
	disk := os.DirFS("..")
	err := fs.WalkDir(disk, ".", func(name string, entry fs.DirEntry, err error) error {
		switch {
		case err != nil:
			return err
		case entry.IsDir() && name == "secrets": // of whoever runs these tests
			return fs.SkipDir
		case entry.IsDir():
			return nil
		}
		text, err := fs.ReadFile(disk, name)
		files[name] = string(text)
		return err
	})
	if err != nil {
		tb.Fatal(err)
	}
	return files
}

// write puts a file into the tree, in the place of one that is there.
func write(tb testing.TB, tree filesys.FileSystem, name, text string) {
	tb.Helper()
	if err := tree.WriteFile(path.Join(root, name), []byte(text)); err != nil {
		tb.Fatal(err)
	}
}

// replace changes the text of a file, which must have it once.
func replace(tb testing.TB, tree filesys.FileSystem, name, before, after string) {
	tb.Helper()
	text, err := tree.ReadFile(path.Join(root, name))
	if err != nil {
		tb.Fatal(err)
	}
	if n := strings.Count(string(text), before); n != 1 {
		tb.Fatalf("%s has %q %d times", name, before, n)
	}
	write(tb, tree, name, strings.Replace(string(text), before, after, 1))
}

// built is what kustomize makes of a folder: a YAML document each, by kind/name.
// The options are those of kubectl apply -k: no file from outside a folder, no
// plugin.
func built(tree filesys.FileSystem, folder string) (map[string]string, error) {
	objects, err := krusty.MakeKustomizer(krusty.MakeDefaultOptions()).Run(tree, path.Join(root, folder))
	if err != nil {
		return nil, err
	}
	texts := map[string]string{}
	for _, object := range objects.Resources() {
		text, err := object.AsYAML()
		if err != nil {
			return nil, err
		}
		texts[object.GetKind()+"/"+object.GetName()] = string(text)
	}
	return texts, nil
}
