package tundevice

import (
	"bytes"
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
func up(t testing.TB, ns *nstest.NS, offload bool) *TUN {
	t.Helper()
	var dev *TUN
	ns.Do(func() {
		var err error
		if dev, err = Create("nc0", Options{MTU: 1400, Offload: offload}); err != nil {
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

func TestDeletedInterfaceEndsReadAndWrite(t *testing.T) {
	ns := nstest.New(t, "host")
	dev := up(t, ns, true)
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
	dev := up(t, ns, true)
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
	dev := up(t, ns, true)
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
				if dev, err = Create("nc0", Options{MTU: 1400, Offload: true}); err != nil {
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

// An interface that goes at the very time of the undo, as a TUN does that has
// just been closed, is no error either.
func TestConfigureUndoesWhatIsGoing(t *testing.T) {
	ns := nstest.New(t, "host")
	for range 50 {
		ns.Run("ip tuntap add dev nc0 mode tun")
		going := make(chan struct{})
		ns.Do(func() {
			undo, err := Configure("nc0", []netip.Prefix{netip.MustParsePrefix("10.9.0.0/31"), netip.MustParsePrefix("10.9.0.2/31")}, 1400)
			if err != nil {
				t.Fatal(err)
			}
			go func() {
				defer close(going)
				ns.Run("ip link del nc0")
			}()
			for end := false; !end; {
				select {
				case <-going:
					end = true
				default:
				}
				if err := undo(); err != nil {
					t.Fatal(err)
				}
			}
		})
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
		parent, err := Create("nc0", Options{MTU: 1400, Offload: true})
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
	dev, err := FromFile(os.NewFile(3, "tun"), "nc0", Options{MTU: 1350})
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
	dev := up(t, ns, true)
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
			if _, err := Create(name, Options{MTU: 1400}); err == nil || !strings.Contains(err.Error(), want) {
				t.Errorf("Create(%q): %v, want %q in it", name, err, want)
			}
		}
		if _, err := FromFile(os.NewFile(uintptr(dup(t, dev)), "tun"), "nc1", Options{MTU: 1400}); err == nil || !strings.Contains(err.Error(), "nc0, not nc1") {
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
