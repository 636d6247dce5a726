// Command plot makes a page of what an evaluation measured: it reads
// results.json, which `testbed evaluate` writes, and writes index.html, with
// tables and plots and nothing that it would have to load, and beside it each
// plot as SVG and the main table as Markdown (table.md).
//
// It is a module of its own, so that what draws is not among the modules of
// the daemon. All that it knows of the evaluation is the file.
package main

import (
	"encoding/json"
	"errors"
	"flag"
	"fmt"
	"os"
	"path/filepath"
)

func main() {
	dir := flag.String("dir", filepath.Join("build", "evaluation"), "`folder` of results.json, and of what is written")
	flag.Parse()
	if err := run(*dir); err != nil {
		fmt.Fprintln(os.Stderr, "plot:", err)
		os.Exit(1)
	}
}

func run(dir string) error {
	text, err := os.ReadFile(filepath.Join(dir, "results.json"))
	if errors.Is(err, os.ErrNotExist) {
		return fmt.Errorf("%w: run make evaluate first", err)
	}
	if err != nil {
		return err
	}
	var r results
	if err := json.Unmarshal(text, &r); err != nil {
		return fmt.Errorf("results.json: %w", err)
	}
	figures, err := r.figures()
	if err != nil {
		return err
	}
	// Those of an earlier run that this one does not have must not stay beside it.
	old, err := filepath.Glob(filepath.Join(dir, "figure-*.svg"))
	if err != nil {
		return err
	}
	for _, file := range old {
		if err := os.Remove(file); err != nil {
			return err
		}
	}
	for _, f := range figures {
		if err := write(dir, f.File, f.svg); err != nil {
			return err
		}
	}
	if err := write(dir, "table.md", r.paperTable().markdown()); err != nil {
		return err
	}
	page, err := r.page(figures)
	if err != nil {
		return err
	}
	if err := write(dir, "index.html", page); err != nil {
		return err
	}
	fmt.Println(filepath.Join(dir, "index.html"))
	return nil
}

func write(dir, name string, text []byte) error {
	return os.WriteFile(filepath.Join(dir, name), text, 0o644)
}
