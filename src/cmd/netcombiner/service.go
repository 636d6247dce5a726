package main

import (
	"errors"
	"flag"
	"fmt"
	"os"

	"netcombiner/src/service"
)

// service lets the host's service manager run a tunnel.
func (a *app) service(args []string) error {
	rest, err := parse(flag.NewFlagSet("service", flag.ContinueOnError), args, 2, 2)
	if err != nil {
		return err
	}
	do, iface := rest[0], rest[1]
	action, ok := map[string]func(*service.Service) error{
		"install":   a.installService,
		"uninstall": (*service.Service).Uninstall,
		"start":     (*service.Service).Start,
		"stop":      (*service.Service).Stop,
		"status":    a.serviceStatus,
	}[do]
	if !ok {
		return usageError(fmt.Sprintf("service: no action %.40q: install, uninstall, start, stop or status", do))
	}
	if err := checkInterface(iface); err != nil {
		return err
	}
	if do == "install" { // what cannot be used is no service
		if err := a.checkConfig(iface); err != nil {
			return err
		}
	}
	host, err := a.host()
	if err != nil {
		return err
	}
	s, err := host.Find(iface)
	if err == nil {
		err = action(s)
	}
	if errors.Is(err, os.ErrPermission) {
		err = fmt.Errorf("%w: run it as root", err)
	}
	return about(iface, err)
}

func (a *app) checkConfig(iface string) error {
	path := a.configPath(iface)
	text, err := readConfig(path)
	if err != nil {
		return err
	}
	_, err = a.options(iface, path, text)
	return err
}

func (a *app) installService(s *service.Service) error {
	if err := s.Install(); err != nil {
		return err
	}
	_, err := fmt.Fprintf(a.out, "%s: %s starts it at boot\n", s.Interface, s.Manager)
	return err
}

func (a *app) serviceStatus(s *service.Service) error {
	switch {
	case s.Running():
		_, err := fmt.Fprintf(a.out, "%s: running; %s starts it at boot\n", s.Interface, s.Manager)
		return err
	case s.Installed():
		fmt.Fprintf(a.out, "%s: not running; %s starts it at boot\n", s.Interface, s.Manager)
	default:
		fmt.Fprintf(a.out, "%s: no service of %s\n", s.Interface, s.Manager)
	}
	return reported(exitFailed)
}
