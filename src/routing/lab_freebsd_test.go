package routing

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

	"netcombiner/src/tundevice"
)

// A host with two WANs, a LAN and a tunnel, on a real FreeBSD: each device's other
// end is in our hands. NETCOMBINER_FREEBSD_LAB=1 says that the machine is for this.
//
//	WAN dsl  tap1  192.0.2.2/24, 2001:db8:1::2/64, gateways .1 and fe80::1
//	WAN lte  tap2  198.51.100.2/24, 2001:db8:2::2/64, gateways .1 and fe80::2
//	LAN      tap3  10.7.0.1/24, fd07::1/64
//	tunnel   nc0   172.19.152.3/31, fd19:152::3/127
type lab struct {
	*testing.T
	wires map[string]*wire
	dev   *tundevice.TUN
}

// wire is what a device has sent.
type wire struct {
	name   string
	own    net.HardwareAddr // the host's, on an Ethernet
	frames chan []byte
	write  func([]byte)
}

var neighbour = net.HardwareAddr{2, 0, 0, 0, 0, 9}

func command(t testing.TB, line string) string {
	t.Helper()
	words := strings.Fields(line)
	out, err := exec.Command(words[0], words[1:]...).CombinedOutput()
	if err != nil {
		t.Fatalf("%s: %v: %s", line, err, out)
	}
	return string(out)
}

func newLab(t *testing.T, pfConf string) *lab {
	if os.Getenv("NETCOMBINER_FREEBSD_LAB") == "" {
		t.Skip("NETCOMBINER_FREEBSD_LAB is not set: this changes the host's interfaces, routes and pf")
	}
	l := &lab{T: t, wires: map[string]*wire{}}
	l.tap("tap1", "192.0.2.2/24", "2001:db8:1::2/64")
	l.tap("tap2", "198.51.100.2/24", "2001:db8:2::2/64")
	l.tap("tap3", "10.7.0.1/24", "fd07::1/64")
	l.tun()
	for _, r := range []Route{{To: anywhere(false), Via: addr("192.0.2.1"), Device: "tap1"}, {To: anywhere(true), Via: addr("fe80::1"), Device: "tap1"}} {
		if err := (kernel{}).changeRoute(r, true); err != nil {
			t.Fatal(err)
		}
		t.Cleanup(func() { _ = kernel{}.changeRoute(r, false) })
	}
	for _, v6 := range []string{"[2001:db8:1::2]:0", "[2001:db8:2::2]:0", "[fd07::1]:0"} {
		l.socket(v6, 0, false)
	}
	if pfConf == "" {
		return l
	}
	conf := t.TempDir() + "/pf.conf"
	if err := os.WriteFile(conf, []byte(pfConf), 0o600); err != nil {
		t.Fatal(err)
	}
	_ = exec.Command("/sbin/kldload", "-n", "pf").Run()
	command(t, "/sbin/pfctl -q -f "+conf)
	_ = exec.Command("/sbin/pfctl", "-q", "-e").Run()
	t.Cleanup(func() {
		_ = exec.Command("/sbin/pfctl", "-q", "-d").Run()
		_ = exec.Command("/sbin/pfctl", "-q", "-F", "all").Run()
	})
	return l
}

func (l *lab) tap(name string, addrs ...string) {
	l.Helper()
	f, err := os.OpenFile("/dev/"+name, os.O_RDWR, 0)
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() {
		f.Close()
		_ = exec.Command("/sbin/ifconfig", name, "destroy").Run()
	})
	var own []netip.Prefix
	for _, a := range addrs {
		own = append(own, netip.MustParsePrefix(a))
	}
	if _, err := tundevice.Configure(name, own, 0); err != nil {
		l.Fatal(err)
	}
	device, err := net.InterfaceByName(name)
	if err != nil {
		l.Fatal(err)
	}
	w := &wire{name: name, own: device.HardwareAddr, frames: make(chan []byte, 1000)}
	w.write = func(b []byte) {
		if _, err := f.Write(b); err != nil {
			l.Error(err)
		}
	}
	l.wires[name] = w
	go func() {
		buf := make([]byte, 2000)
		for {
			n, err := f.Read(buf)
			if err != nil {
				return
			}
			if answer := neighbourSays(buf[:n]); answer != nil {
				w.write(answer)
			} else if n > 14 {
				w.frames <- bytes.Clone(buf[:n])
			}
		}
	}()
}

func (l *lab) tun() {
	l.Helper()
	dev, err := tundevice.Create("nc0", tundevice.Options{MTU: 1400})
	if err != nil {
		l.Fatal(err)
	}
	l.dev = dev
	l.Cleanup(func() { dev.Close() })
	if _, err := tundevice.Configure("nc0", prefixes("172.19.152.3/31", "fd19:152::3/127"), 0); err != nil {
		l.Fatal(err)
	}
	const offset = 16
	w := &wire{name: "nc0", frames: make(chan []byte, 1000)}
	w.write = func(b []byte) {
		if _, err := dev.Write([][]byte{append(make([]byte, offset), b...)}, offset); err != nil {
			l.Error(err)
		}
	}
	l.wires["nc0"] = w
	go func() {
		buf, sizes := make([]byte, 2000), make([]int, 1)
		for {
			n, err := dev.Read([][]byte{buf}, sizes, offset)
			if err != nil {
				return
			}
			if n > 0 {
				w.frames <- bytes.Clone(buf[offset : offset+sizes[0]])
			}
		}
	}()
}

// neighbourSays answers who asks for an address: there is one neighbour on each
// link, who has them all, each at a link address that ends as it does.
func neighbourSays(frame []byte) (answer []byte) {
	if len(frame) < 42 {
		return nil
	}
	eth := func(kind ...byte) []byte { return append(append(bytes.Clone(frame[6:12]), neighbour...), kind...) }
	switch b := frame[14:]; {
	case frame[12] == 8 && frame[13] == 6 && b[7] == 1 && !bytes.Equal(b[14:18], b[24:28]): // ARP, who has
		answer = append(eth(8, 6), 0, 1, 8, 0, 6, 4, 0, 2)
		answer = append(append(append(answer, neighbour[:5]...), b[27]), b[24:28]...)
		return append(append(answer, b[8:14]...), b[14:18]...)
	case frame[12] == 0x86 && len(b) >= 64 && b[6] == 58 && b[40] == 135: // neighbour solicitation
		from, to, target := b[48:64], b[8:24], b[48:64]
		if netip.AddrFrom16([16]byte(to)).IsUnspecified() {
			return nil // asks whether an address is taken
		}
		body := append([]byte{136, 0, 0, 0, 0x60, 0, 0, 0}, target...)
		body = append(append(append(body, 2, 1), neighbour[:5]...), target[15])
		pseudo := append(append(bytes.Clone(from), to...), 0, 0, 0, byte(len(body)), 0, 0, 0, 58)
		binary.BigEndian.PutUint16(body[2:], checksum(append(pseudo, body...)))
		answer = append(eth(0x86, 0xdd), 6<<4, 0, 0, 0, 0, byte(len(body)), 58, 255)
		return append(append(append(answer, from...), to...), body...)
	}
	return nil
}

// packet is an UDP datagram, or with other protocols just its ports.
type packet struct {
	from, to netip.AddrPort
	proto    uint8
}

func udpPacket(from, to string) packet {
	return packet{netip.MustParseAddrPort(from), netip.MustParseAddrPort(to), protoUDP}
}

func (p packet) String() string { return fmt.Sprintf("%d %v > %v", p.proto, p.from, p.to) }

func (p packet) bytes() []byte {
	if p.proto == 58 {
		return p.solicitation()
	}
	body := binary.BigEndian.AppendUint16(nil, p.from.Port())
	body = binary.BigEndian.AppendUint16(body, p.to.Port())
	if p.proto == protoTCP { // a SYN
		body = append(body, 0, 0, 0, 1, 0, 0, 0, 0, 5<<4, 2, 0xff, 0xff, 0, 0, 0, 0)
	} else {
		body = append(body, 0, 12, 0, 0, 't', 'e', 's', 't')
	}
	at := 6
	if p.proto == protoTCP {
		at = 16
	}
	from, to := p.from.Addr().AsSlice(), p.to.Addr().AsSlice()
	pseudo := append(append(bytes.Clone(from), to...), 0, p.proto, 0, byte(len(body)))
	binary.BigEndian.PutUint16(body[at:], checksum(append(pseudo, body...)))
	if p.from.Addr().Is6() {
		header := append([]byte{6 << 4, 0, 0, 0, 0, byte(len(body)), p.proto, 64}, from...)
		return append(append(header, to...), body...)
	}
	header := append([]byte{0x45, 0, 0, byte(20 + len(body)), 0, 1, 0, 0, 64, p.proto, 0, 0}, from...)
	header = append(header, to...)
	binary.BigEndian.PutUint16(header[10:], checksum(header))
	return append(header, body...)
}

// solicitation asks, of the one that it is sent to, whether it is still there.
func (p packet) solicitation() []byte {
	from, to := p.from.Addr().AsSlice(), p.to.Addr().AsSlice()
	body := append([]byte{135, 0, 0, 0, 0, 0, 0, 0}, to...)
	body = append(append(body, 1, 1), neighbour...)
	pseudo := append(append(bytes.Clone(from), to...), 0, 0, 0, byte(len(body)), 0, 0, 0, 58)
	binary.BigEndian.PutUint16(body[2:], checksum(append(pseudo, body...)))
	header := append([]byte{6 << 4, 0, 0, 0, 0, byte(len(body)), 58, 255}, from...)
	return append(append(header, to...), body...)
}

func checksum(b []byte) uint16 {
	var sum uint32
	for i := 0; i+1 < len(b); i += 2 {
		sum += uint32(b[i])<<8 | uint32(b[i+1])
	}
	if len(b)%2 == 1 {
		sum += uint32(b[len(b)-1]) << 8
	}
	for sum > 0xffff {
		sum = sum>>16 + sum&0xffff
	}
	return ^uint16(sum)
}

// parse reads what bytes wrote, or the kernel.
func parse(b []byte) (p packet, ok bool) {
	if len(b) < 28 {
		return packet{}, false
	}
	var from, to netip.Addr
	switch b[0] >> 4 {
	case 4:
		p.proto, from, to = b[9], netip.AddrFrom4([4]byte(b[12:16])), netip.AddrFrom4([4]byte(b[16:20]))
		b = b[20:]
	case 6:
		if len(b) < 44 {
			return packet{}, false
		}
		p.proto, from, to = b[6], netip.AddrFrom16([16]byte(b[8:24])), netip.AddrFrom16([16]byte(b[24:40]))
		b = b[40:]
	default:
		return packet{}, false
	}
	if p.proto != protoTCP && p.proto != protoUDP {
		p.from, p.to = netip.AddrPortFrom(from, 0), netip.AddrPortFrom(to, 0)
		return p, true
	}
	p.from = netip.AddrPortFrom(from, binary.BigEndian.Uint16(b))
	p.to = netip.AddrPortFrom(to, binary.BigEndian.Uint16(b[2:]))
	return p, true
}

// comesIn has a packet come in by a device.
func (l *lab) comesIn(device string, p packet) {
	w := l.wires[device]
	b := p.bytes()
	if w.own != nil {
		kind := []byte{8, 0}
		if p.from.Addr().Is6() {
			kind = []byte{0x86, 0xdd}
		}
		b = append(append(append(bytes.Clone(w.own), neighbour...), kind...), b...)
	}
	w.write(b)
}

// leaves waits for a packet that some device sends, and holds it to be that one's.
func (l *lab) leaves(device string, want packet) {
	l.Helper()
	if got := l.find(want); got != device {
		l.Errorf("%v left by %q, want %s", want, got, device)
	}
}

// staysInside holds that a packet leaves by no device.
func (l *lab) staysInside(p packet) {
	l.Helper()
	if got := l.find(p); got != "" {
		l.Errorf("%v left by %s", p, got)
	}
}

const labPatience = 400 * time.Millisecond

func (l *lab) find(want packet) (device string) {
	deadline := time.After(labPatience)
	for {
		for name, w := range l.wires {
			select {
			case b := <-w.frames:
				if w.own != nil {
					b = b[14:]
				}
				if p, ok := parse(b); ok && p == want {
					return name
				}
			default:
			}
		}
		select {
		case <-deadline:
			return ""
		case <-time.After(time.Millisecond):
		}
	}
}

// socket is a UDP socket of the host's, in a FIB where ok.
func (l *lab) socket(from string, fib int, ok bool) *net.UDPConn {
	l.Helper()
	at := net.UDPAddrFromAddrPort(netip.MustParseAddrPort(from))
	conn, err := net.ListenUDP("udp", at)
	for began := time.Now(); errors.Is(err, unix.EADDRNOTAVAIL) && time.Since(began) < 5*time.Second; {
		time.Sleep(50 * time.Millisecond) // the kernel still asks whether the address is taken
		conn, err = net.ListenUDP("udp", at)
	}
	if err != nil {
		l.Fatal(err)
	}
	l.Cleanup(func() { conn.Close() })
	if ok {
		raw, _ := conn.SyscallConn()
		if err := raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_SETFIB, fib) }); err != nil {
			l.Fatal(err)
		}
	}
	return conn
}

// send sends from a socket, and returns the packet that is to leave.
func (l *lab) send(conn *net.UDPConn, to string) packet {
	l.Helper()
	if _, err := conn.WriteToUDPAddrPort([]byte("test"), netip.MustParseAddrPort(to)); err != nil {
		l.Errorf("to %s: %v", to, err)
	}
	from := conn.LocalAddr().(*net.UDPAddr).AddrPort()
	return packet{netip.AddrPortFrom(from.Addr().Unmap(), from.Port()), netip.MustParseAddrPort(to), protoUDP}
}

// hears says whether a socket of the host's gets something.
func (l *lab) hears(conn *net.UDPConn) bool {
	_ = conn.SetReadDeadline(time.Now().Add(labPatience))
	_, _, err := conn.ReadFromUDPAddrPort(make([]byte, 100))
	return err == nil
}

// start carries a spec out until the test ends, and holds that all is as before
// then.
func (l *lab) start(spec Spec) *Routing {
	l.Helper()
	before := l.look()
	r, err := Apply(l.TempDir(), spec)
	if err != nil {
		l.Fatal(err)
	}
	for _, s := range r.Steps() {
		l.Log(s)
	}
	l.Cleanup(func() {
		if err := r.Undo(); err != nil {
			l.Error(err)
		}
		if after := l.look(); after != before {
			l.Errorf("not as it was:\n%s\nbefore:\n%s", after, before)
		}
	})
	return r
}

// look is what a tunnel may change.
func (l *lab) look() string {
	var b strings.Builder
	host, err := newBSD(kernel{}).snapshot()
	if err != nil {
		l.Fatal(err)
	}
	for _, r := range host.Routes {
		fmt.Fprintln(&b, fibCommand(&r, "add"))
	}
	for _, link := range host.Links {
		fmt.Fprintln(&b, link.Name, link.Addrs)
	}
	for _, key := range []string{bsdForward4, bsdForward6, bsdRouters6} {
		value, err := kernel{}.sysctl(key)
		fmt.Fprintln(&b, key, value, err)
	}
	for _, line := range []string{"/sbin/pfctl -s rules", "/sbin/pfctl -s nat", "/sbin/pfctl -s Anchors -v"} {
		out, _ := exec.Command(strings.Fields(line)[0], strings.Fields(line)[1:]...).Output()
		for text := range strings.Lines(string(out)) {
			// Of an anchor without rules, just a name, pf keeps that for as long as it likes.
			if strings.Contains(strings.TrimSpace(text), " ") || strings.Contains(text, "nc0") {
				b.WriteString(text)
			}
		}
	}
	return b.String()
}
