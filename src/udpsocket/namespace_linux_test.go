package udpsocket

import (
	"errors"
	"fmt"
	"os"
	"os/exec"
	"runtime"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/transport"
)

// namespace is a network namespace that lives as long as its test: a thread of
// its own, in which the test's code runs when it is asked to.
type namespace struct {
	path string // of the namespace, for ip(8)
	work chan func()
}

func newNamespace(t *testing.T) *namespace {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("network namespaces need root")
	}
	n := &namespace{work: make(chan func())}
	ready := make(chan error)
	go func() {
		runtime.LockOSThread() // never unlocked: the thread ends with the goroutine
		err := unix.Unshare(unix.CLONE_NEWNET)
		n.path = fmt.Sprintf("/proc/%d/task/%d/ns/net", os.Getpid(), unix.Gettid())
		ready <- err
		for work := range n.work {
			work()
		}
	}()
	if err := <-ready; err != nil {
		t.Skipf("no network namespace: %v", err)
	}
	t.Cleanup(func() { close(n.work) })
	n.run(t, "ip link set lo up")
	return n
}

// do runs work inside the namespace. Sockets made there stay there.
func (n *namespace) do(work func()) {
	done := make(chan struct{})
	n.work <- func() { defer close(done); work() }
	<-done
}

// run runs commands, one a line, inside the namespace.
func (n *namespace) run(t *testing.T, commands string) {
	t.Helper()
	for line := range strings.Lines(commands) {
		words := strings.Fields(line)
		if len(words) == 0 {
			continue
		}
		var out []byte
		var err error
		n.do(func() { out, err = exec.Command(words[0], words[1:]...).CombinedOutput() })
		if err != nil {
			t.Fatalf("%s: %v: %s", strings.TrimSpace(line), err, out)
		}
	}
}

// twoWANs returns a router with the interfaces wan0 and wan1 and the server at
// their other ends, which has 203.0.113.1 and 2001:db8:ff::1 besides. The
// router's default route is by wan0.
func twoWANs(t *testing.T) (router, server *namespace) {
	router, server = newNamespace(t), newNamespace(t)
	for i := range 2 {
		router.run(t, fmt.Sprintf(`
			ip link add wan%[1]d type veth peer name isp%[1]d netns %[2]s
			ip addr add 10.0.%[1]d.2/24 dev wan%[1]d
			ip addr add 2001:db8:%[1]d::2/64 dev wan%[1]d nodad
			ip link set wan%[1]d addrgenmode none
			ip addr add fe80::2/64 dev wan%[1]d nodad
			ip link set wan%[1]d up`, i, server.path))
		server.run(t, fmt.Sprintf(`
			ip addr add 10.0.%[1]d.1/24 dev isp%[1]d
			ip addr add 2001:db8:%[1]d::1/64 dev isp%[1]d nodad
			ip link set isp%[1]d addrgenmode none
			ip addr add fe80::1/64 dev isp%[1]d nodad
			ip link set isp%[1]d up`, i))
		router.run(t, fmt.Sprintf(`
			ip route add default via 10.0.%[1]d.1 metric 1%[1]d
			ip route add default via 2001:db8:%[1]d::1 metric 1%[1]d`, i))
	}
	server.run(t, `
		ip addr add 203.0.113.1/32 dev lo
		ip addr add 2001:db8:ff::1/128 dev lo nodad`)
	// Each awaitAnswer wants an ICMP error at once.
	server.run(t, "sysctl -q -w net.ipv4.icmp_ratelimit=0 net.ipv6.icmp.ratelimit=0")
	for i := range 2 {
		for _, to := range []string{"10.0.%d.1:9", "[2001:db8:%d::1]:9"} {
			router.awaitAnswer(t, fmt.Sprintf(to, i))
		}
	}
	return router, server
}

// awaitAnswer returns once an ICMP error came back from a port where nobody
// listens: a new link loses packets until the kernel has brought it up.
func (n *namespace) awaitAnswer(t *testing.T, at string) {
	t.Helper()
	s := n.dial(t, transport.Bind{}, at)
	defer s.Close()
	for deadline := time.Now().Add(10 * time.Second); time.Now().Before(deadline); time.Sleep(5 * time.Millisecond) {
		if _, err := s.Send(message("ready?")); errors.Is(err, unix.ECONNREFUSED) {
			return
		}
	}
	t.Fatalf("%s is not reached", at)
}
