package main

import (
	"errors"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"netcombiner/src/service"
)

// Where a service manager is known, it gets the tunnel; a run directory of one's own is
// nothing that it knows.
func TestInitStartsTheService(t *testing.T) {
	t.Setenv("NETCOMBINER_RUN_DIR", "")
	root := t.TempDir()
	for _, dir := range []string{"/run/systemd/system", "/etc/systemd/system/multi-user.target.wants"} {
		if err := os.MkdirAll(root+dir, 0o755); err != nil {
			t.Fatal(err)
		}
	}
	var ran []string
	host := service.Host{Root: root, Program: "/usr/local/sbin/netcombiner", Run: func(name string, args ...string) error {
		ran = append(ran, strings.Join(append([]string{name}, args...), " "))
		if slices.Contains(args, "enable") {
			return os.Symlink("x", root+"/etc/systemd/system/multi-user.target.wants/netcombiner@nc-init.service")
		}
		return nil
	}}
	a := newApp()
	a.host = func() (service.Host, error) { return host, nil }
	said, err := initService{a}.Start("nc-init")
	if err != nil || said != "nc-init runs; systemd starts it at boot" {
		t.Errorf("%q, %v", said, err)
	}
	if err := (initService{a}).Reload("nc-init"); err != nil {
		t.Error(err)
	}
	want := []string{"systemctl daemon-reload", "systemctl --quiet enable netcombiner@nc-init.service", "systemctl start netcombiner@nc-init.service",
		"systemctl --quiet is-active netcombiner@nc-init.service", "systemctl stop netcombiner@nc-init.service", "systemctl start netcombiner@nc-init.service"}
	if !slices.Equal(ran, want) {
		t.Errorf("ran %q\nwant %q", ran, want)
	}
	if _, err := os.Stat(filepath.Join(root, "/etc/systemd/system/netcombiner@.service")); err != nil {
		t.Error(err)
	}

	failure := errors.New("the service does not start")
	host.Run = func(_ string, args ...string) error {
		if slices.Contains(args, "start") {
			return failure
		}
		return nil
	}
	if _, err := (initService{a}).Start("nc-init"); !errors.Is(err, failure) {
		t.Errorf("%v, want %v", err, failure)
	}
	t.Setenv("NETCOMBINER_RUN_DIR", root)
	if _, err := (initService{a}).manager("nc-init"); err == nil {
		t.Error("a service is to know a run directory of ours")
	}
}
