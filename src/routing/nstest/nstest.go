//go:build linux

// Package nstest gives a test network namespaces of its own, joined by veth
// pairs. A namespace is entered by the test's own goroutine, so everything in
// it may call t.Fatal, and sockets opened in it stay in it.
package nstest

import (
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"

	"github.com/vishvananda/netns"
)

// NS is a network namespace; it is gone when its test has ended.
type NS struct {
	t      testing.TB
	name   string
	handle netns.NsHandle
}

// New makes a namespace with lo up; name is for messages. The test is skipped
// where it may not. From now on the test's goroutine owns its thread.
func New(t testing.TB, name string) *NS {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root: it makes network namespaces")
	}
	// Never unlocked: the thread ends with the test, in whatever namespace.
	runtime.LockOSThread()
	home, err := netns.Get()
	if err != nil {
		t.Skipf("no network namespaces here: %v", err)
	}
	defer home.Close()
	handle, err := netns.New()
	if err != nil {
		t.Skipf("may not make a network namespace: %v", err)
	}
	ns := &NS{t: t, name: name, handle: handle}
	t.Cleanup(func() { handle.Close() })
	if err := netns.Set(home); err != nil {
		t.Fatal(err)
	}
	ns.Run("ip link set lo up")
	return ns
}

// Do calls f in the namespace.
func (n *NS) Do(f func()) {
	n.t.Helper()
	home, err := netns.Get()
	if err != nil {
		n.t.Fatal(err)
	}
	defer home.Close()
	if err := netns.Set(n.handle); err != nil {
		n.t.Fatal(err)
	}
	defer func() {
		if err := netns.Set(home); err != nil {
			panic(err) // the thread would go on in the wrong namespace
		}
	}()
	f()
}

// Try runs each command line in the namespace and returns what they wrote, up
// to the first that fails. Words are separated by blanks; no shell reads them.
func (n *NS) Try(commands ...string) (string, error) {
	n.t.Helper()
	var out strings.Builder
	for _, command := range commands {
		words := strings.Fields(command)
		var text []byte
		var err error
		n.Do(func() { text, err = exec.Command(words[0], words[1:]...).CombinedOutput() })
		out.Write(text)
		if err != nil {
			return out.String(), err
		}
	}
	return out.String(), nil
}

// Run is Try, and fails the test on an error.
func (n *NS) Run(commands ...string) string {
	n.t.Helper()
	out, err := n.Try(commands...)
	if err != nil {
		n.t.Fatalf("%s: %v: %v\n%s", n.name, commands, err, out)
	}
	return out
}

// Join joins a and b by a veth pair, both ends up; device names as given.
func Join(a *NS, deviceA string, b *NS, deviceB string) {
	a.t.Helper()
	// Made in a, so that no name is ever seen in the host's namespace.
	a.Run("ip link add " + deviceA + " type veth peer name " + deviceB + "-far")
	var out []byte
	var err error
	a.Do(func() {
		// The handle is inherited as file 3 of the child.
		cmd := exec.Command("ip", "link", "set", deviceB+"-far", "netns", "/proc/self/fd/3")
		cmd.ExtraFiles = []*os.File{b.file()}
		out, err = cmd.CombinedOutput()
		cmd.ExtraFiles[0].Close()
	})
	if err != nil {
		a.t.Fatalf("joining %s and %s: %v\n%s", a.name, b.name, err, out)
	}
	b.Run("ip link set "+deviceB+"-far name "+deviceB, "ip link set "+deviceB+" up")
	a.Run("ip link set " + deviceA + " up")
}

// file is a file of its own on the namespace.
func (n *NS) file() *os.File {
	var f *os.File
	var err error
	n.Do(func() { f, err = os.Open("/proc/thread-self/ns/net") })
	if err != nil {
		n.t.Fatal(err)
	}
	return f
}
