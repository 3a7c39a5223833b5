// Grafana writes the dashboards of gemini-client, as Grafana reads them:
//
//	go generate ./grafana
//
// A dashboard is a list of panels here, and JSON in the folder dashboards, which
// deploy/grafana/provisioning has Grafana load. Its types are those of Grafana's
// foundation SDK, so a field that Grafana does not know does not compile.
package main

import (
	"encoding/json"
	"fmt"
	"os"
	"path/filepath"
)

//go:generate go run .

func main() {
	if err := write("dashboards"); err != nil {
		fmt.Fprintln(os.Stderr, "grafana:", err)
		os.Exit(1)
	}
}

// write puts every dashboard into a folder.
func write(folder string) error {
	for _, b := range boards() {
		text, err := b.json()
		if err != nil {
			return fmt.Errorf("dashboard %s: %w", b.name, err)
		}
		if err := os.WriteFile(filepath.Join(folder, b.file()), text, 0o644); err != nil { //nolint:gosec // read by Grafana's user
			return err
		}
	}
	return nil
}

// boards returns all dashboards.
func boards() []board { return []board{overview(), openRouter(), natsBoard()} }

// file is the name of the dashboard's file.
func (b board) file() string { return b.name + ".json" }

// json is the dashboard as Grafana reads it.
func (b board) json() ([]byte, error) {
	built, err := b.build()
	if err != nil {
		return nil, err
	}
	text, err := json.MarshalIndent(built, "", "  ")
	return append(text, '\n'), err
}
