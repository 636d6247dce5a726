package main

import (
	"encoding/json"
	"net"
	"strings"
	"testing"

	"netcombiner/src/control"
)

// handler is a daemon that is well.
type handler struct{ control.Handler }

func (handler) Status() control.Status { return control.Status{Interface: "nc1", Role: "local"} }

// A tunnel that does not answer, and one that was killed, hide none of the others.
func TestShowAllDespiteOne(t *testing.T) {
	before := control.Dir
	control.Dir = t.TempDir()
	t.Cleanup(func() { control.Dir = before })
	sick, err := net.Listen("unix", control.SocketPath("nc0"))
	if err != nil {
		t.Fatal(err)
	}
	defer sick.Close()
	go func() {
		for c, err := sick.Accept(); err == nil; c, err = sick.Accept() {
			c.Close()
		}
	}()
	well, err := control.Serve("nc1", handler{})
	if err != nil {
		t.Fatal(err)
	}
	defer well.Close()
	killed, err := net.ListenUnix("unix", &net.UnixAddr{Name: control.SocketPath("nc2"), Net: "unix"})
	if err != nil {
		t.Fatal(err)
	}
	killed.SetUnlinkOnClose(false)
	killed.Close()

	v := viewer{recent: make(map[string]*control.Recent)}
	for name, draw := range map[string]func() (string, error){"text": v.text, "json": v.json, "metrics": v.metrics} {
		text, err := draw()
		if !strings.Contains(text, "nc1") || err == nil || !strings.HasPrefix(err.Error(), "nc0: ") {
			t.Errorf("%s: %v\n%s", name, err, text)
		}
		if all := []control.Status{}; name == "json" && (json.Unmarshal([]byte(text), &all) != nil || len(all) != 1) {
			t.Errorf("no array of one:\n%s", text)
		}
		if name == "text" && !strings.Contains(text, "interface: nc2\n  it does not run, and was killed") {
			t.Errorf("nothing of the killed one:\n%s", text)
		}
	}
}
