package tundevice

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"os/exec"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/routing/nstest"
)

// up makes nc0 in ns, with 10.9.0.0/31 and fd09::/127, and up.
func up(t *testing.T, ns *nstest.NS) *TUN {
	t.Helper()
	var dev *TUN
	ns.Do(func() {
		var err error
		if dev, err = Create("nc0", 1400); err != nil {
			t.Fatal(err)
		}
		addrs := []netip.Prefix{netip.MustParsePrefix("10.9.0.0/31"), netip.MustParsePrefix("fd09::/127")}
		for range 2 { // the second time changes nothing
			if _, err := Configure("nc0", addrs, 1400); err != nil {
				t.Fatal(err)
			}
		}
	})
	t.Cleanup(func() { dev.Close() })
	return dev
}

func buffers(n, size int) [][]byte {
	bufs := make([][]byte, n)
	for i := range bufs {
		bufs[i] = make([]byte, size)
	}
	return bufs
}

// gather reads until count packets have come for which wanted holds, and
// returns copies of them.
func gather(t *testing.T, dev *TUN, count int, wanted func([]byte) bool) (got [][]byte) {
	t.Helper()
	timer := time.AfterFunc(20*time.Second, func() { dev.Close() })
	defer timer.Stop()
	bufs, sizes := buffers(dev.BatchSize(), Headroom+1400), make([]int, dev.BatchSize())
	for len(got) < count {
		n, err := dev.Read(bufs, sizes, Headroom)
		if err != nil {
			t.Fatalf("Read: %v", err)
		}
		for i := range n {
			if p := bufs[i][Headroom : Headroom+sizes[i]]; wanted(p) {
				got = append(got, bytes.Clone(p))
			}
		}
	}
	return got
}

func udpTo(port uint16) func([]byte) bool {
	return func(p []byte) bool {
		at := 20
		if p[0]>>4 == 6 {
			at = 40
		}
		proto := p[9]
		if at == 40 {
			proto = p[6]
		}
		return proto == unix.IPPROTO_UDP && binary.BigEndian.Uint16(p[at+2:]) == port
	}
}

func TestPacketsCrossBothWays(t *testing.T) {
	ns := nstest.New(t, "host")
	dev := up(t, ns)
	for _, peer := range []string{"10.9.0.1", "fd09::1"} {
		var conn net.Conn
		var err error
		ns.Do(func() { conn, err = net.Dial("udp", net.JoinHostPort(peer, "7")) })
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		fmt.Fprint(conn, "ping")
		p := gather(t, dev, 1, udpTo(7))[0]
		if !bytes.HasSuffix(p, []byte("ping")) {
			t.Fatalf("packet %x does not end in the payload", p)
		}

		// Turned round, it is the answer: the UDP checksum does not change.
		if p[0]>>4 == 4 {
			swap(p[12:16], p[16:20])
			swap(p[20:22], p[22:24])
		} else {
			swap(p[8:24], p[24:40])
			swap(p[40:42], p[42:44])
		}
		buf := append(bytes.Repeat([]byte{0xff}, Headroom), p...)
		junk := append(make([]byte, Headroom), 0x05, 0x06) // not IP: dropped
		// More than once: IPv6 takes nothing in until the kernel's own thread has
		// seen that the link is up, which on a busy host is up to a second later.
		answer := make([]byte, 16)
		n, err := 0, os.ErrDeadlineExceeded
		for deadline := time.Now().Add(10 * time.Second); errors.Is(err, os.ErrDeadlineExceeded) && time.Now().Before(deadline); {
			if n, err := dev.Write([][]byte{junk, bytes.Clone(buf)}, Headroom); n != 1 || err != nil {
				t.Fatalf("Write = %d, %v, want 1, nil", n, err)
			}
			conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
			n, err = conn.Read(answer)
		}
		if err != nil || string(answer[:n]) != "ping" {
			t.Fatalf("answer %q, %v", answer[:n], err)
		}
	}
}

func swap(a, b []byte) {
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}

// A sender may hand the kernel more than a packet at a time: Read splits it.
func TestReadSplitsSuperPackets(t *testing.T) {
	ns := nstest.New(t, "host")
	dev := up(t, ns)
	var fd int
	ns.Do(func() {
		var err error
		// UDP GSO: the same path in the kernel as TCP's, without a handshake.
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 9, Addr: [4]byte{10, 9, 0, 1}}); err != nil {
			t.Fatal(err)
		}
	})
	defer unix.Close(fd)
	const segment, segments = 1000, 8
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, segment); err != nil {
		t.Skipf("no UDP GSO in this kernel: %v", err)
	}
	payload := make([]byte, segment*segments)
	for i := range payload {
		payload[i] = byte(i / segment)
	}
	if _, err := unix.Write(fd, payload); err != nil {
		t.Fatal(err)
	}
	for i, p := range gather(t, dev, segments, udpTo(9)) {
		if len(p) != 28+segment || p[28] != byte(i) {
			t.Fatalf("segment %d: %d bytes, first %d", i, len(p), p[28])
		}
	}

	// Too few buffers, and too short ones: packets are lost, not the device.
	for _, bufs := range [][][]byte{buffers(3, Headroom+1400), buffers(64, Headroom+100)} {
		before := dev.Unread()
		if _, err := unix.Write(fd, payload); err != nil {
			t.Fatal(err)
		}
		done := make(chan int, 1)
		go func() {
			for { // past what the kernel says of itself
				n, err := dev.Read(bufs, make([]int, len(bufs)), Headroom)
				if err != nil {
					n = -1
				}
				if err != nil || dev.Unread() > before {
					done <- n
					return
				}
			}
		}()
		if len(bufs) == 64 {
			// Nothing of it fits: Read goes on to the next packet.
			for dev.Unread() == before {
				time.Sleep(time.Millisecond)
			}
			if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, 0); err != nil {
				t.Fatal(err)
			}
			if _, err := unix.Write(fd, []byte("short")); err != nil {
				t.Fatal(err)
			}
		}
		if n := <-done; n < 1 {
			t.Fatalf("Read = %d", n)
		}
		if dev.Unread() == before {
			t.Fatal("what was lost was not counted")
		}
	}
}

func TestDeletedInterfaceEndsReadAndWrite(t *testing.T) {
	ns := nstest.New(t, "host")
	dev := up(t, ns)
	failed := make(chan error, 1)
	go func() {
		bufs, sizes := buffers(dev.BatchSize(), Headroom+1400), make([]int, dev.BatchSize())
		for {
			if _, err := dev.Read(bufs, sizes, Headroom); err != nil {
				failed <- err
				return
			}
		}
	}()
	ns.Run("ip link del nc0")
	select {
	case err := <-failed:
		if !errors.Is(err, ErrGone) || errors.Is(err, os.ErrClosed) {
			t.Fatalf("Read after ip link del: %v, want ErrGone", err)
		}
	case <-time.After(20 * time.Second):
		t.Fatal("Read did not end after ip link del")
	}
	packet := make([]byte, Headroom+20)
	packet[Headroom] = 0x45
	if _, err := dev.Write([][]byte{packet}, Headroom); !errors.Is(err, ErrGone) {
		t.Fatalf("Write after ip link del: %v, want ErrGone", err)
	}
	if err := dev.Close(); err != nil {
		t.Fatalf("Close: %v", err)
	}
}

func TestCloseEndsReadAndRemoves(t *testing.T) {
	ns := nstest.New(t, "host")
	dev := up(t, ns)
	failed := make(chan error, 1)
	go func() {
		for {
			if _, err := dev.Read(buffers(1, 2000), make([]int, 1), Headroom); err != nil {
				failed <- err
				return
			}
		}
	}()
	dev.Close()
	dev.Close()
	if err := <-failed; !errors.Is(err, os.ErrClosed) || errors.Is(err, ErrGone) {
		t.Fatalf("Read after Close: %v, want os.ErrClosed", err)
	}
	if out, err := ns.Try("ip link show nc0"); err == nil {
		t.Fatalf("nc0 is still there: %s", out)
	}
}

func TestDownInterfaceDropsAndLives(t *testing.T) {
	ns := nstest.New(t, "host")
	dev := up(t, ns)
	ns.Run("ip link set nc0 down")
	packet := make([]byte, Headroom+20)
	packet[Headroom] = 0x45
	if n, err := dev.Write([][]byte{packet}, Headroom); n != 0 || err != nil {
		t.Fatalf("Write while down = %d, %v, want 0, nil", n, err)
	}
	ns.Do(func() {
		if err := dev.SetMTU(1300); err != nil {
			t.Fatal(err)
		}
	})
	if out := ns.Run("ip -o link show nc0"); !strings.Contains(out, "mtu 1300") {
		t.Fatalf("MTU was not set: %s", out)
	}
}

// An interface that somebody made to last is taken, whatever its flags, and
// left as it was.
func TestLastingInterfaceIsTakenAndLeft(t *testing.T) {
	for _, made := range []string{"", " user 1000", " pi", " vnet_hdr"} {
		t.Run("tuntap"+made, func(t *testing.T) {
			ns := nstest.New(t, "host")
			ns.Run("ip tuntap add dev nc0 mode tun"+made, "ip address add 10.8.0.1/24 dev nc0", "ip address add 10.9.0.0/31 dev nc0")
			rememberHeader(t, ns, 12)
			const addresses = "ip -o address show dev nc0"
			before := ns.Run(addresses)

			var dev *TUN
			var undo func() error
			var err error
			ns.Do(func() {
				if dev, err = Create("nc0", 1400); err != nil {
					t.Fatal(err)
				}
				undo, err = Configure("nc0", []netip.Prefix{netip.MustParsePrefix("10.9.0.0/31"), netip.MustParsePrefix("10.7.0.0/31"), netip.MustParsePrefix("fd09::/127")}, 0)
			})
			if err != nil {
				t.Fatal(err)
			}
			if out := ns.Run("ip -o link show nc0"); !strings.Contains(out, "mtu 1400") || !strings.Contains(out, ",UP") {
				t.Errorf("not as configured: %s", out)
			}
			ns.Do(func() {
				conn, err := net.Dial("udp", "10.9.0.1:7")
				if err != nil {
					t.Fatal(err)
				}
				defer conn.Close()
				fmt.Fprint(conn, "ping")
			})
			if p := gather(t, dev, 1, udpTo(7))[0]; !bytes.HasSuffix(p, []byte("ping")) {
				t.Errorf("packet %x does not end in the payload", p)
			}

			ns.Do(func() {
				for range 2 {
					if err := undo(); err != nil {
						t.Errorf("undo: %v", err)
					}
				}
			})
			dev.Close()
			if after := ns.Run(addresses); after != before {
				t.Errorf("addresses were\n%sand are\n%s", before, after)
			}
			if out := ns.Run("ip -o link show nc0"); strings.Contains(out, ",UP") {
				t.Errorf("it was down, and is up: %s", out)
			}
		})
	}
}

// rememberHeader makes nc0 remember that its last user set a virtio-net
// header of so many bytes.
func rememberHeader(t *testing.T, ns *nstest.NS, bytes int) {
	t.Helper()
	ns.Do(func() {
		fd, err := unix.Open(clonePath, unix.O_RDWR|unix.O_CLOEXEC, 0)
		if err != nil {
			t.Fatal(err)
		}
		defer unix.Close(fd)
		request, err := unix.NewIfreq("nc0")
		if err != nil {
			t.Fatal(err)
		}
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI | unix.IFF_VNET_HDR)
		if err := errors.Join(unix.IoctlIfreq(fd, unix.TUNSETIFF, request), unix.IoctlSetPointerInt(fd, unix.TUNSETVNETHDRSZ, bytes)); err != nil {
			t.Fatal(err)
		}
	})
}

// A Configure that fails leaves nothing; an undo after the interface's end is
// no error, and no business of another of the same name.
func TestConfigureUndoes(t *testing.T) {
	ns := nstest.New(t, "host")
	ns.Run("ip tuntap add dev nc0 mode tun", "ip link set nc0 mtu 1200")
	own, six := netip.MustParsePrefix("10.9.0.0/31"), netip.MustParsePrefix("fd09::/127")
	ns.Do(func() {
		if undo, err := Configure("nc0", []netip.Prefix{own, six}, 0); err == nil || undo != nil {
			t.Errorf("an IPv6 address at MTU 1200: %v", err)
		}
	})
	if out := ns.Run("ip -o address show dev nc0"); out != "" {
		t.Errorf("left: %s", out)
	}
	ns.Do(func() {
		undo, err := Configure("nc0", []netip.Prefix{own}, 1400)
		if err != nil {
			t.Fatal(err)
		}
		for _, command := range []string{"ip link del nc0", "ip tuntap add dev nc0 mode tun", "ip address add 10.9.0.0/31 dev nc0"} {
			ns.Run(command)
			if err := undo(); err != nil {
				t.Errorf("after %s: %v", command, err)
			}
		}
	})
	if out := ns.Run("ip -o address show dev nc0"); !strings.Contains(out, "10.9.0.0/31") {
		t.Error("another interface lost its address")
	}
}

// The detached start: a parent makes the TUN, a child inherits the file, the
// parent ends, the interface stays.
func TestFileHandedToAChild(t *testing.T) {
	if os.Getenv("TUNDEVICE_CHILD") != "" {
		child()
		return
	}
	ns := nstest.New(t, "host")
	ns.Do(func() {
		parent, err := Create("nc0", 1400)
		if err != nil {
			t.Fatal(err)
		}
		cmd := exec.Command(os.Args[0], "-test.run=^TestFileHandedToAChild$")
		cmd.Env = append(os.Environ(), "TUNDEVICE_CHILD=1")
		cmd.ExtraFiles = []*os.File{parent.File()}
		stdin, _ := cmd.StdinPipe()
		stdout, _ := cmd.StdoutPipe()
		if err := cmd.Start(); err != nil {
			t.Fatal(err)
		}
		defer cmd.Wait()
		defer stdin.Close()
		parent.Close()
		line := make([]byte, 64)
		n, _ := stdout.Read(line)
		if string(line[:n]) != "ready nc0\n" {
			t.Fatalf("child said %q", line[:n])
		}
		if out, err := exec.Command("ip", "-o", "link", "show", "nc0").CombinedOutput(); err != nil || !strings.Contains(string(out), "mtu 1350") {
			t.Fatalf("nc0 in the child's hands: %v: %s", err, out)
		}
		exec.Command("ip", "link", "del", "nc0").Run()
		n, _ = stdout.Read(line)
		if string(line[:n]) != "gone\n" {
			t.Fatalf("child said %q, want gone", line[:n])
		}
	})
}

func child() {
	dev, err := FromFile(os.NewFile(3, "tun"), "nc0", 1350)
	if err != nil {
		fmt.Println(err)
		return
	}
	fmt.Println("ready", dev.Name())
	time.AfterFunc(20*time.Second, func() { dev.Close() })
	for {
		if _, err := dev.Read(buffers(1, 2000), make([]int, 1), Headroom); err != nil {
			if errors.Is(err, ErrGone) {
				fmt.Println("gone")
			}
			os.Exit(0)
		}
	}
}

func TestCreateSaysWhatIsWrong(t *testing.T) {
	ns := nstest.New(t, "host")
	dev := up(t, ns)
	ns.Run("ip link add dummy7 type veth peer name dummy8", "ip tuntap add dev queues mode tun multi_queue", "ip tuntap add dev tap0 mode tap")
	ns.Do(func() {
		for name, want := range map[string]string{
			"nc0":              "in use",
			"dummy7":           "not a TUN",
			"tap0":             "not a TUN",
			"queues":           "ip link del queues",
			"much-too-long-0x": "too long",
			"no/slash":         "not allowed",
		} {
			if _, err := Create(name, 1400); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Create(%q): %v, want %q in it", name, err, want)
			}
		}
		if _, err := FromFile(os.NewFile(uintptr(dup(t, dev)), "tun"), "nc1", 1400); err == nil || !strings.Contains(err.Error(), "nc0, not nc1") {
			t.Errorf("FromFile under another name: %v", err)
		}
		if _, err := Configure("nc9", nil, 1400); err == nil {
			t.Error("Configure of an interface that does not exist: no error")
		}
		if _, err := Configure("nc0", []netip.Prefix{netip.MustParsePrefix("fd08::1/64")}, 1200); err == nil || !strings.Contains(err.Error(), "1280") {
			t.Errorf("an IPv6 address at MTU 1200: %v", err)
		}
	})
}

func dup(t *testing.T, dev *TUN) int {
	raw, err := dev.File().SyscallConn()
	if err != nil {
		t.Fatal(err)
	}
	var fd int
	raw.Control(func(old uintptr) { fd, err = unix.FcntlInt(old, unix.F_DUPFD_CLOEXEC, 3) })
	if err != nil {
		t.Fatal(err)
	}
	return fd
}

func TestExplainedErrors(t *testing.T) {
	for err, want := range map[unix.Errno]string{unix.ENOENT: "modprobe tun", unix.ENODEV: "modprobe tun", unix.EACCES: "root", unix.EIO: "opening"} {
		if got := explainOpen(err).Error(); !strings.Contains(got, want) {
			t.Errorf("explainOpen(%v) = %q, want %q in it", err, got, want)
		}
	}
	if got := explainSetIff("nc0", unix.EPERM).Error(); !strings.Contains(got, "CAP_NET_ADMIN") {
		t.Errorf("explainSetIff(EPERM) = %q", got)
	}
}

func BenchmarkWrite(b *testing.B) {
	ns := nstest.New(b, "host")
	var dev *TUN
	ns.Do(func() {
		var err error
		if dev, err = Create("nc0", 1400); err != nil {
			b.Fatal(err)
		}
		if _, err := Configure("nc0", []netip.Prefix{netip.MustParsePrefix("10.9.0.0/31")}, 0); err != nil {
			b.Fatal(err)
		}
	})
	defer dev.Close()
	packet := make([]byte, Headroom+1400)
	copy(packet[Headroom:], []byte{0x45, 0, 1400 >> 8, 1400 & 255, 0, 0, 0, 0, 64, 17, 0, 0, 10, 9, 0, 1, 10, 9, 0, 0})
	b.ReportAllocs()
	for b.Loop() {
		dev.Write([][]byte{packet}, Headroom)
	}
}
