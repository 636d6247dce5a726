package tundevice

import (
	"bufio"
	"bytes"
	"encoding/binary"
	"errors"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"slices"
	"strings"
	"syscall"
	"testing"
	"time"
	"unsafe"

	"golang.org/x/sys/unix"
)

// A TUN that this process, made again, creates and holds until it is killed.
const holdTUN = "NETCOMBINER_TEST_HOLD"

func TestMain(m *testing.M) {
	if name := os.Getenv(holdTUN); name != "" {
		t, err := Create(name, Options{MTU: 1400})
		if err == nil {
			_, err = Configure(name, ours, 0)
		}
		if err != nil {
			os.Stdout.WriteString(err.Error() + "\n")
			os.Exit(1)
		}
		os.Stdout.WriteString("there\n")
		_, _ = t.Read([][]byte{make([]byte, 2000)}, []int{0}, Headroom)
		time.Sleep(time.Minute)
	}
	os.Exit(m.Run())
}

var ours = []netip.Prefix{netip.MustParsePrefix("172.19.152.3/31"), netip.MustParsePrefix("fd19:152::3/127")}

// held makes another process that holds a TUN.
func held(t *testing.T, name string) (kill func()) {
	t.Helper()
	exe, err := os.Executable()
	if err != nil {
		t.Fatal(err)
	}
	cmd := exec.Command(exe)
	cmd.Env = append(os.Environ(), holdTUN+"="+name)
	out, err := cmd.StdoutPipe()
	if err != nil {
		t.Fatal(err)
	}
	if err := cmd.Start(); err != nil {
		t.Fatal(err)
	}
	if line, _ := bufio.NewReader(out).ReadString('\n'); line != "there\n" {
		_ = cmd.Process.Kill()
		t.Fatalf("the other process: %s", line)
	}
	return func() {
		_ = cmd.Process.Kill()
		_ = cmd.Wait()
	}
}

func needRoot(t *testing.T) {
	t.Helper()
	if os.Geteuid() != 0 {
		t.Skip("needs root")
	}
}

func newTUN(t *testing.T, name string) *TUN {
	t.Helper()
	needRoot(t)
	tun, err := Create(name, Options{MTU: 1400})
	if err != nil {
		t.Fatal(err)
	}
	t.Cleanup(func() { tun.Close() })
	return tun
}

// within fails the test where f, which might wait in the kernel for ever, does.
func within(t *testing.T, d time.Duration, what string, f func()) {
	t.Helper()
	done := make(chan struct{})
	go func() { defer close(done); f() }()
	select {
	case <-done:
	case <-time.After(d):
		t.Fatalf("%s takes longer than %v", what, d)
	}
}

func TestInterface(t *testing.T) {
	tun := newTUN(t, "nc7")
	f, err := look("nc7")
	if err != nil || !slices.Contains(f.groups, Mark) || f.removing() || f.holder != os.Getpid() {
		t.Errorf("%+v, %v", f, err)
	}
	undo, err := Configure("nc7", ours, 0)
	if err != nil {
		t.Fatal(err)
	}
	iface, err := net.InterfaceByName("nc7")
	if err != nil {
		t.Fatal(err)
	}
	have, err := addresses(iface)
	if err != nil || !slices.Equal(have, ours) { // and no link-local one
		t.Errorf("addresses %v, %v", have, err)
	}
	if iface.MTU != 1400 || iface.Flags&(net.FlagUp|net.FlagBroadcast|net.FlagPointToPoint) != net.FlagUp|net.FlagBroadcast {
		t.Errorf("MTU %d, flags %v", iface.MTU, iface.Flags)
	}
	if err := tun.SetMTU(1280); err != nil {
		t.Error(err)
	}
	if _, err := Configure("nc7", ours, 1300); err != nil { // again
		t.Errorf("again: %v", err)
	}
	if iface, _ := net.InterfaceByName("nc7"); iface.MTU != 1300 {
		t.Errorf("MTU %d", iface.MTU)
	}
	if err := undo(); err != nil {
		t.Error(err)
	}
	iface, _ = net.InterfaceByName("nc7")
	if have, _ := addresses(iface); len(have) != 0 || iface.Flags&net.FlagUp != 0 {
		t.Errorf("undone: addresses %v, flags %v", have, iface.Flags)
	}
	within(t, 5*time.Second, "Close", func() {
		if err := tun.Close(); err != nil {
			t.Error(err)
		}
	})
	if _, err := net.InterfaceByName("nc7"); err == nil {
		t.Error("it is still there")
	}
	if err := undo(); err != nil {
		t.Errorf("undo of what is gone: %v", err)
	}
}

// udp is an IP packet with a UDP datagram in it.
func udp(from, to netip.AddrPort, payload string) []byte {
	u := make([]byte, 8, 8+len(payload))
	binary.BigEndian.PutUint16(u, from.Port())
	binary.BigEndian.PutUint16(u[2:], to.Port())
	binary.BigEndian.PutUint16(u[4:], uint16(8+len(payload)))
	u = append(u, payload...)
	pseudo := slices.Concat(from.Addr().AsSlice(), to.Addr().AsSlice(), []byte{0, 17, 0, byte(len(u))})
	binary.BigEndian.PutUint16(u[6:], sum(append(pseudo, u...)))
	if from.Addr().Is4() {
		h := []byte{0x45, 0, 0, byte(20 + len(u)), 0, 1, 0, 0, 64, 17, 0, 0}
		h = slices.Concat(h, from.Addr().AsSlice(), to.Addr().AsSlice())
		binary.BigEndian.PutUint16(h[10:], sum(h))
		return append(h, u...)
	}
	h := []byte{0x60, 0, 0, 0, 0, byte(len(u)), 17, 64}
	return slices.Concat(h, from.Addr().AsSlice(), to.Addr().AsSlice(), u)
}

func sum(b []byte) uint16 {
	var s uint32
	for i := 0; i < len(b); i += 2 {
		s += uint32(b[i]) << 8
		if i+1 < len(b) {
			s += uint32(b[i+1])
		}
	}
	for s > 0xffff {
		s = s>>16 + s&0xffff
	}
	return ^uint16(s)
}

// Packets of both IP versions cross it in both directions, unchanged.
func TestPackets(t *testing.T) {
	tun := newTUN(t, "nc7")
	if _, err := Configure("nc7", ours, 0); err != nil {
		t.Fatal(err)
	}
	for _, ends := range [][2]string{{"172.19.152.3:4000", "172.19.152.2:5000"}, {"[fd19:152::3]:4000", "[fd19:152::2]:5000"}} {
		here, there := netip.MustParseAddrPort(ends[0]), netip.MustParseAddrPort(ends[1])
		socket, err := net.ListenUDP("udp", net.UDPAddrFromAddrPort(here))
		if err != nil {
			t.Fatal(err)
		}
		defer socket.Close()
		_ = socket.SetDeadline(time.Now().Add(5 * time.Second))
		if _, err := socket.WriteToUDPAddrPort([]byte("to the tunnel"), there); err != nil {
			t.Fatal(err)
		}
		want := udp(here, there, "to the tunnel")
		if got := readOf(t, tun, want[len(want)-21:len(want)-17]); !bytes.Equal(got[len(got)-21:], want[len(want)-21:]) || len(got) != len(want) {
			t.Errorf("read % x\nwant % x", got, want)
		}
		packet := append(make([]byte, Headroom), udp(there, here, "from the tunnel")...)
		if n, err := tun.Write([][]byte{packet}, Headroom); n != 1 || err != nil {
			t.Fatal(n, err)
		}
		text := make([]byte, 100)
		n, from, err := socket.ReadFromUDPAddrPort(text)
		if err != nil || string(text[:n]) != "from the tunnel" || netip.AddrPortFrom(from.Addr().Unmap(), from.Port()) != there {
			t.Errorf("%q from %v, %v", text[:n], from, err)
		}
	}
	if n, err := tun.Write([][]byte{append(make([]byte, Headroom), "\x50 is no version of IP"...)}, Headroom); n != 0 || err != nil {
		t.Errorf("what is not IP: %d, %v", n, err)
	}
}

// readOf reads the packet that has these ports.
func readOf(t *testing.T, tun *TUN, ports []byte) (packet []byte) {
	t.Helper()
	within(t, 5*time.Second, "Read", func() {
		for {
			buf, sizes := make([]byte, 2000), []int{0}
			if n, err := tun.Read([][]byte{buf}, sizes, Headroom); n != 1 || err != nil {
				t.Error(n, err)
				return
			}
			packet = buf[Headroom : Headroom+sizes[0]]
			if bytes.Contains(packet, ports) {
				return
			}
		}
	})
	return packet
}

// A process that took the file over, in blocking mode, reads, and removes the
// interface without waiting for the one that made it.
func TestHandedOver(t *testing.T) {
	tun := newTUN(t, "nc7")
	fd, err := syscall.Dup(int(tun.File().Fd())) // Fd: blocking from here on
	if err != nil {
		t.Fatal(err)
	}
	if err := tun.Leave(); err != nil {
		t.Fatal(err)
	}
	heir, err := FromFile(os.NewFile(uintptr(fd), "inherited"), "nc7", Options{MTU: 1400})
	if err != nil {
		t.Fatal(err)
	}
	if _, err := Configure("nc7", ours, 0); err != nil {
		t.Fatal(err)
	}
	ended := make(chan error)
	go func() {
		for {
			if _, err := heir.Read([][]byte{make([]byte, 2000)}, []int{0}, Headroom); err != nil {
				ended <- err
				return
			}
		}
	}()
	time.Sleep(100 * time.Millisecond)
	within(t, 5*time.Second, "Close", func() {
		if err := heir.Close(); err != nil {
			t.Error(err)
		}
	})
	if err := <-ended; !errors.Is(err, os.ErrClosed) {
		t.Errorf("Read ended with %v", err)
	}
	if err := tun.Close(); err != nil {
		t.Errorf("the one that left: %v", err)
	}
}

// Where the heir fails, the one that left removes the interface.
func TestHeirFails(t *testing.T) {
	tun := newTUN(t, "nc7")
	fd, err := syscall.Dup(int(tun.File().Fd()))
	if err != nil {
		t.Fatal(err)
	}
	if err := tun.Leave(); err != nil {
		t.Fatal(err)
	}
	syscall.Close(fd)
	if _, err := net.InterfaceByName("nc7"); err != nil {
		t.Fatalf("it went with its file: %v", err)
	}
	if err := tun.Close(); err != nil {
		t.Error(err)
	}
	if _, err := net.InterfaceByName("nc7"); err == nil {
		t.Error("it is still there")
	}
}

// What a killed process leaves is found, and nothing else is touched.
func TestKilled(t *testing.T) {
	needRoot(t)
	kill := held(t, "nc8")
	_, err := Create("nc8", Options{MTU: 1400})
	if !errors.Is(err, syscall.EBUSY) || !strings.Contains(err.Error(), "netcombiner down nc8") {
		t.Errorf("in use: %v", err)
	}
	if undone, err := CleanUp("nc8"); undone != nil || err != nil {
		t.Errorf("in use: %v, %v", undone, err)
	}
	kill()
	iface, err := net.InterfaceByName("nc8")
	if err != nil {
		t.Fatalf("this kernel takes it away: %v", err)
	}
	if have, _ := addresses(iface); len(have) != 0 {
		t.Errorf("addresses %v", have)
	}
	again, err := Create("nc8", Options{MTU: 1400})
	if err != nil {
		t.Fatal(err)
	}
	if err := again.Close(); err != nil {
		t.Error(err)
	}
	held(t, "nc8")()
	undone, err := CleanUp("nc8")
	if err != nil || !slices.Equal(undone, []string{"ifconfig nc8 destroy"}) {
		t.Errorf("%q, %v", undone, err)
	}
	if undone, err := CleanUp("nc8"); undone != nil || err != nil {
		t.Errorf("nothing left: %v, %v", undone, err)
	}
}

func TestNameOfAnother(t *testing.T) {
	needRoot(t)
	if _, err := Create("lo0", Options{MTU: 1400}); !errors.Is(err, syscall.EEXIST) || !strings.Contains(err.Error(), "choose another name") {
		t.Errorf("lo0: %v", err)
	}
	if undone, err := CleanUp("lo0"); undone != nil || err != nil {
		t.Errorf("lo0: %v, %v", undone, err)
	}
	if _, err := net.InterfaceByName("lo0"); err != nil {
		t.Fatal(err)
	}
}

// Whoever removes the interface ends the tunnel, and need not wait for ever.
func TestRemovedByAnother(t *testing.T) {
	tun := newTUN(t, "nc7")
	removed := make(chan error, 1)
	go func() { removed <- destroy("nc7") }()
	within(t, 2*watchEvery+time.Second, "Read", func() {
		_, err := tun.Read([][]byte{make([]byte, 2000)}, []int{0}, Headroom)
		if !errors.Is(err, ErrGone) {
			t.Errorf("Read: %v", err)
		}
	})
	within(t, 5*time.Second, "the removal", func() {
		if err := <-removed; err != nil {
			t.Error(err)
		}
	})
	if n, err := tun.Write([][]byte{append(make([]byte, Headroom), udp(netip.MustParseAddrPort("172.19.152.2:1"), netip.MustParseAddrPort("172.19.152.3:1"), "x")...)}, Headroom); n != 0 || !errors.Is(err, ErrGone) {
		t.Errorf("Write: %d, %v", n, err)
	}
	if err := tun.Close(); err != nil {
		t.Error(err)
	}
}

func TestMTUThatTheKernelRefuses(t *testing.T) {
	tun := newTUN(t, "nc7")
	if err := tun.SetMTU(10); err == nil || !strings.Contains(err.Error(), "interface nc7: setting the MTU to 10") {
		t.Errorf("%v", err)
	}
}

// Without the device that makes TUNs, it is said what makes that.
func TestNoDevice(t *testing.T) {
	needRoot(t)
	setSysctl(t, "net.link.tun.devfs_cloning", 0)
	if _, err := Create("nc7", Options{MTU: 1400}); err == nil || !strings.HasPrefix(err.Error(), "/dev/tun is not there: load the module (kldload if_tuntap)") {
		t.Errorf("%v", err)
	}
	if _, err := net.InterfaceByName("nc7"); err == nil {
		t.Error("an interface all the same")
	}
}

func setSysctl(t *testing.T, name string, value uint32) {
	t.Helper()
	was, err := unix.SysctlUint32(name)
	if err != nil {
		t.Skip(err)
	}
	set := func(value uint32) {
		_, _, errno := unix.Syscall6(unix.SYS___SYSCTLBYNAME, uintptr(unsafe.Pointer(unsafe.StringData(name))), uintptr(len(name)), 0, 0, uintptr(unsafe.Pointer(&value)), 4)
		if errno != 0 {
			t.Fatalf("%s=%d: %v", name, value, errno)
		}
	}
	set(value)
	t.Cleanup(func() { set(was) })
}
