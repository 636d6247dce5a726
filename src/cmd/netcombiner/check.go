package main

import (
	"flag"
	"fmt"
	"math"
	"path/filepath"
	"slices"
	"strings"

	"netcombiner/src/config"
)

// check tells everything that is wrong with the files that are meant, and what
// several take from each other.
func (a *app) check(args []string) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	all := flags.Bool("all", false, "")
	asJSON := flags.Bool("json", false, "")
	rest, err := parse(flags, args, 0, math.MaxInt)
	if err != nil {
		return err
	}
	if *all && len(rest) > 0 {
		return usageError(fmt.Sprintf("check: %q beside --all, which means every file of %s", rest[0], a.configDir))
	}
	files, err := a.filesToCheck(rest)
	if err != nil {
		return err
	}
	teller := checkTeller(&checkText{app: a})
	if *asJSON {
		teller = &checkJSON{app: a}
	}
	return a.checkFiles(files, teller)
}

// checkTeller says what check finds.
type checkTeller interface {
	good(file string, warnings []string) // a line each, which begins with the file
	bad(file string, err error)          // a config.Errors, or what kept the file from being read
	end() error                          // when all is told
}

func (a *app) checkFiles(files []string, t checkTeller) error {
	var good []config.Instance
	for _, file := range files {
		c, err := a.load(file)
		if err != nil {
			t.bad(file, err)
			continue
		}
		t.good(file, config.Warnings(file, c))
		good = append(good, config.Named(file, c))
	}
	if clashes := config.Clashes(good); clashes != nil {
		t.bad("", clashes)
	}
	return t.end()
}

func (a *app) load(file string) (*config.Config, error) {
	if file == config.Stdin {
		return config.Parse(file, a.in)
	}
	return config.Load(file)
}

func (a *app) filesToCheck(args []string) (files []string, err error) {
	if len(args) == 0 {
		files, err = filepath.Glob(filepath.Join(a.configDir, "*.conf"))
		if err == nil && len(files) == 0 {
			err = configError{fmt.Errorf("%s holds no .conf file", a.configDir)}
		}
		return files, err
	}
	for _, name := range args {
		file := name
		if name != config.Stdin && filepath.Ext(name) != ".conf" && filepath.Base(name) == name {
			if err := checkInterface(name); err != nil {
				return nil, err
			}
			file = a.configPath(name)
		}
		if slices.Contains(files, file) {
			return nil, usageError(fmt.Sprintf("check: %s twice", name))
		}
		files = append(files, file)
	}
	return files, nil
}

// checkText tells people, as it goes.
type checkText struct {
	*app
	status int
}

func (t *checkText) good(file string, warnings []string) {
	for _, w := range warnings {
		fmt.Fprintln(t.err, "warning:", w)
	}
	if _, err := fmt.Fprintf(t.out, "%s: ok\n", file); err != nil {
		t.status = max(t.status, t.report(err))
	}
}

func (t *checkText) bad(_ string, err error) {
	if _, several := err.(config.Errors); !several {
		err = configError{err}
	}
	t.status = max(t.status, t.report(err))
}

func (t *checkText) end() error {
	if t.status != exitDone {
		return reported(t.status)
	}
	return nil
}

// checkJSON tells a program, all at once.
type checkJSON struct {
	*app
	problems config.Errors
	warnings []checkWarning
}

type checkWarning struct {
	File    string `json:"file"`
	Message string `json:"message"`
}

func (t *checkJSON) good(file string, warnings []string) {
	for _, w := range warnings {
		t.warnings = append(t.warnings, checkWarning{file, strings.TrimPrefix(w, file+": ")})
	}
}

func (t *checkJSON) bad(file string, err error) {
	found, several := err.(config.Errors)
	if !several {
		found = config.Errors{{File: file, Problem: strings.TrimPrefix(err.Error(), file+": ")}}
	}
	t.problems = append(t.problems, found...)
}

func (t *checkJSON) end() error {
	found := struct {
		OK       bool           `json:"ok"`
		Problems config.Errors  `json:"problems"`
		Warnings []checkWarning `json:"warnings"`
	}{t.problems == nil, append(config.Errors{}, t.problems...), append([]checkWarning{}, t.warnings...)}
	if err := t.printJSON(found); err != nil {
		return err
	}
	if !found.OK {
		return reported(exitWrong)
	}
	return nil
}
