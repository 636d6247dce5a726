package main

import (
	"flag"
	"fmt"
	"math"
	"path/filepath"
	"slices"

	"netcombiner/src/config"
)

// check tells everything that is wrong with the files that are meant, and what
// several take from each other.
func (a *app) check(args []string) error {
	flags := flag.NewFlagSet("check", flag.ContinueOnError)
	all := flags.Bool("all", false, "")
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
	status := exitDone
	var good []config.Instance
	for _, file := range files {
		c, err := a.checkFile(file)
		if status = max(status, a.report(err)); err == nil {
			good = append(good, config.Named(file, c))
		}
	}
	if clashes := config.Clashes(good); clashes != nil {
		status = max(status, a.report(clashes))
	}
	if status != exitDone {
		return reported(status)
	}
	return nil
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
		if filepath.Ext(name) != ".conf" && filepath.Base(name) == name {
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

func (a *app) checkFile(file string) (*config.Config, error) {
	c, err := config.Load(file)
	if _, several := err.(config.Errors); err != nil && !several {
		return nil, configError{err}
	}
	if err != nil {
		return nil, err
	}
	for _, w := range config.Warnings(file, c) {
		fmt.Fprintln(a.err, "warning:", w)
	}
	_, err = fmt.Fprintf(a.out, "%s: ok\n", file)
	return c, err
}
