//go:build linux

package netns

import (
	"bufio"
	"bytes"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"strings"
	"testing"
	"time"

	"go.uber.org/goleak"
	"golang.org/x/sys/unix"
)

// victim tells this test's executable to make a namespace and wait for kill -9.
const victim = "NETNS_TEST_VICTIM"

func TestMain(m *testing.M) {
	if os.Getenv(victim) != "" {
		beVictim()
	}
	goleak.VerifyTestMain(m)
}

func machine(t *testing.T, name string) *Namespace {
	t.Helper()
	if err := Privileged(); err != nil {
		t.Skip("skipped: ", err)
	}
	n, err := New(name)
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(n.Close)
	return n
}

func TestTwoMachinesOnACable(t *testing.T) {
	a, b := machine(t, "a"), machine(t, "b")
	if err := Veth(a, "eth0", b, "eth0"); err != nil {
		t.Fatal(err)
	}
	for _, m := range []struct {
		n    *Namespace
		addr string
	}{{a, "1"}, {b, "2"}} {
		if err := m.n.Address("eth0", netip.MustParsePrefix("192.0.2."+m.addr+"/24"), netip.MustParsePrefix("2001:db8::"+m.addr+"/64")); err != nil {
			t.Fatal(err)
		}
	}
	for _, addr := range []string{"192.0.2.2", "2001:db8::2"} {
		var l net.Listener
		err := b.Do(func() (err error) {
			l, err = net.Listen("tcp", net.JoinHostPort(addr, "80"))
			return err
		})
		if err != nil {
			t.Fatal(err)
		}
		defer l.Close()
		err = a.Do(func() error {
			c, err := net.DialTimeout("tcp", net.JoinHostPort(addr, "80"), 5*time.Second)
			if err == nil {
				c.Close()
			}
			return err
		})
		if err != nil {
			t.Errorf("from a to b: %v", err)
		}
	}
	if c, err := net.DialTimeout("tcp", "192.0.2.2:80", 200*time.Millisecond); err == nil {
		c.Close()
		t.Error("the host reaches into the namespace")
	}
}

func TestFilesAndSysctlsStayInside(t *testing.T) {
	n := machine(t, "files")
	const file = "/run/netcombiner/netns-test"
	if err := n.WriteFile(file, []byte("x"), 0o600); err != nil {
		t.Fatal(err)
	}
	if _, err := os.Stat(file); err == nil {
		t.Errorf("%s is seen outside", file)
	}
	if err := n.Do(func() error { _, err := os.Stat("/var" + file); return err }); err != nil {
		t.Errorf("/var/run is not /run inside: %v", err)
	}
	before, err := os.ReadFile("/proc/sys/net/ipv4/ip_forward")
	if err != nil {
		t.Fatal(err)
	}
	other := "1"
	if strings.TrimSpace(string(before)) == "1" {
		other = "0"
	}
	if err := n.Sysctl("net.ipv4.ip_forward", other); err != nil {
		t.Fatal(err)
	}
	if after, _ := os.ReadFile("/proc/sys/net/ipv4/ip_forward"); !bytes.Equal(before, after) {
		t.Errorf("the host's ip_forward went from %s to %s", before, after)
	}
	if err := n.Sysctl("kernel.panic", "0"); err == nil {
		t.Error("a sysctl of the whole host was taken")
	}
}

// Close ends what a command left running, detached or not.
func TestCloseEndsEverything(t *testing.T) {
	machine(t, "beside") // is not ended
	n, err := New("close")
	if err != nil {
		t.Fatal(err)
	}
	var out bytes.Buffer
	cmd, err := n.Start(&out, "sh", "-c", "setsid sleep 300 >/dev/null 2>&1 & echo $!")
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Wait(); err != nil {
		t.Fatal(err)
	}
	var pid int
	if _, err := fmt.Sscan(out.String(), &pid); err != nil || !alive(pid) {
		t.Fatalf("no detached process: %q %v", out.String(), err)
	}
	n.Close()
	gone(t, pid)
}

// After kill -9 the kernel takes down everything but the names, and the
// next start removes these.
func TestKillLeavesNothing(t *testing.T) {
	if err := Privileged(); err != nil {
		t.Skip("skipped: ", err)
	}
	cmd := exec.Command("/proc/self/exe")
	cmd.Env = append(os.Environ(), victim+"=1")
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	line, err := bufio.NewReader(out).ReadString('\n')
	if err != nil {
		t.Fatal(err)
	}
	var child int
	if _, err := fmt.Sscan(line, &child); err != nil || !alive(child) {
		t.Fatalf("the victim says %q: %v", line, err)
	}
	pattern := filepath.Join(names, fmt.Sprintf("%s%d-*", prefix, cmd.Process.Pid))
	if left, _ := filepath.Glob(pattern); len(left) != 1 {
		t.Errorf("names while it lives: %v", left)
	}
	cmd.Process.Kill()
	cmd.Wait()
	gone(t, child)
	machine(t, "next")
	if left, _ := filepath.Glob(pattern); len(left) != 0 {
		t.Errorf("names after the next start: %v", left)
	}
}

// beVictim makes a namespace with a process, tells it, and waits.
func beVictim() {
	n, err := New("victim")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	cmd, err := n.Start(nil, "sleep", "300")
	if err != nil {
		fmt.Println(err)
		os.Exit(1)
	}
	fmt.Println(cmd.Process.Pid)
	time.Sleep(time.Minute)
	os.Exit(1)
}

// alive says whether a process runs; one that is dead and not yet reaped does not.
func alive(pid int) bool {
	stat, err := os.ReadFile(fmt.Sprintf("/proc/%d/stat", pid))
	if err != nil {
		return false
	}
	_, rest, _ := bytes.Cut(stat, []byte(") "))
	return !bytes.HasPrefix(rest, []byte("Z")) && unix.Kill(pid, 0) == nil
}

func gone(t *testing.T, pid int) {
	t.Helper()
	for deadline := time.Now().Add(5 * time.Second); alive(pid); time.Sleep(5 * time.Millisecond) {
		if time.Now().After(deadline) {
			t.Fatalf("process %d still runs", pid)
		}
	}
}
