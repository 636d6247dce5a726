package main

import (
	"flag"
	"fmt"
	"path/filepath"

	"netcombiner/src/config"
)

// check tells everything that is wrong with the files that are meant.
func (a *app) check(args []string) error {
	rest, err := parse(flag.NewFlagSet("check", flag.ContinueOnError), args, 0, 1)
	if err != nil {
		return err
	}
	files, err := a.filesToCheck(rest)
	if err != nil {
		return err
	}
	status := exitDone
	for _, file := range files {
		status = max(status, a.report(a.checkFile(file)))
	}
	if status != exitDone {
		return reported(status)
	}
	return nil
}

func (a *app) filesToCheck(args []string) ([]string, error) {
	if len(args) == 0 {
		files, err := filepath.Glob(filepath.Join(a.configDir, "*.conf"))
		if err == nil && len(files) == 0 {
			err = configError{fmt.Errorf("%s holds no .conf file", a.configDir)}
		}
		return files, err
	}
	name := args[0]
	if filepath.Ext(name) == ".conf" || filepath.Base(name) != name {
		return []string{name}, nil
	}
	return []string{a.configPath(name)}, checkInterface(name)
}

func (a *app) checkFile(file string) error {
	c, err := config.Load(file)
	if _, several := err.(config.Errors); err != nil && !several {
		return configError{err}
	}
	if err != nil {
		return err
	}
	for _, w := range config.Warnings(file, c) {
		fmt.Fprintln(a.err, "warning:", w)
	}
	_, err = fmt.Fprintf(a.out, "%s: ok\n", file)
	return err
}
