package routing

import (
	"bytes"
	"net/netip"
	"strings"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/config"
	"netcombiner/src/tundevice"
)

// The corners of the modes, on the real kernel.

// A datagram of a path that is longer than the tunnel's MTU leaves whole, though
// the kernel's own route for it leads into the tunnel.
func TestRealLongDatagrams(t *testing.T) {
	l := newLab(t, pfOpen)
	l.start(realLocal(config.RoutingNAT, config.EgressPF))
	for _, c := range []struct {
		from, to      string
		level, option int
		size          int
	}{
		{"198.51.100.2:0", "203.0.113.2:4725", unix.IPPROTO_IP, unix.IP_DONTFRAG, 1472},
		{"[2001:db8:2::2]:0", "[2001:db8:3::2]:4725", unix.IPPROTO_IPV6, unix.IPV6_DONTFRAG, 1452},
	} {
		conn := l.socket(c.from, 0, false)
		raw, _ := conn.SyscallConn()
		var err error
		_ = raw.Control(func(fd uintptr) { err = unix.SetsockoptInt(int(fd), c.level, c.option, 1) })
		if err != nil {
			t.Fatal(err)
		}
		if _, err := conn.WriteToUDPAddrPort(make([]byte, c.size), netip.MustParseAddrPort(c.to)); err != nil {
			t.Errorf("from %s: %v", c.from, err)
			continue
		}
		if frame := l.frame("tap2", c.to); len(frame) != 14+1500 {
			t.Errorf("from %s: a frame of %d bytes", c.from, len(frame))
		}
	}
}

// frame waits for what a device sends to an address, and returns it whole.
func (l *lab) frame(device, to string) []byte {
	w := l.wires[device]
	for {
		select {
		case b := <-w.frames:
			if p, ok := parse(b[14:]); ok && p.to == netip.MustParseAddrPort(to) {
				return b
			}
		case <-time.After(labPatience):
			return nil
		}
	}
}

// A path that is not bound stays out of the tunnel, and has the address of the WAN.
func TestRealUnbound(t *testing.T) {
	for _, egress := range []config.Egress{config.EgressPF, config.EgressFIB} {
		t.Run(string(egress), func(t *testing.T) {
			l := newLab(t, pfOpen)
			if egress == config.EgressFIB {
				moreFIBs(t)
			}
			spec := realLocal(config.RoutingNAT, egress)
			spec.WANs, spec.Paths = []WAN{{}}, nil
			r := l.start(spec)
			fib, ok := r.FIB("", netip.Addr{})
			if ok != (egress == config.EgressFIB) {
				t.Errorf("FIB %d, %v", fib, ok)
			}
			for _, c := range []struct{ any, to, own string }{
				{"0.0.0.0:0", "203.0.113.2:4725", "192.0.2.2"}, {"[::]:0", "[2001:db8:3::2]:4725", "2001:db8:1::2"},
			} {
				conn := l.socket(c.any, fib, ok)
				if _, err := conn.WriteToUDPAddrPort([]byte("test"), netip.MustParseAddrPort(c.to)); err != nil {
					t.Error(err)
				}
				if p, ok := l.next("tap1", c.to); !ok || p.from.Addr() != addr(c.own) {
					t.Errorf("%v, %v, want it from %s", p, ok, c.own)
				}
			}
		})
	}
}

// The WAN's gateway is another one: what has begun goes there, too.
func TestRealGatewayChanges(t *testing.T) {
	for _, egress := range []config.Egress{config.EgressPF, config.EgressFIB} {
		t.Run(string(egress), func(t *testing.T) {
			l := newLab(t, pfOpen)
			if egress == config.EgressFIB {
				moreFIBs(t)
			}
			spec := realLocal(config.RoutingNone, egress)
			r := l.start(spec)
			fib, ok := r.FIB("", addr("198.51.100.2"))
			conn := l.socket("198.51.100.2:0", fib, ok)
			const to = "203.0.113.2:4725"
			l.send(conn, to)
			if frame := l.frame("tap2", to); frame == nil || frame[5] != 1 {
				t.Fatalf("not by 198.51.100.1: %x", frame)
			}
			spec.Paths = []config.Path{{Name: "lte", Source: addr("198.51.100.2"), Gateway: []netip.Addr{addr("198.51.100.77")}}}
			if err := r.Refresh(spec); err != nil {
				t.Fatal(err)
			}
			if again, _ := r.FIB("", addr("198.51.100.2")); again != fib {
				t.Errorf("FIB %d became %d", fib, again)
			}
			l.send(conn, to)
			if frame := l.frame("tap2", to); frame == nil || frame[5] != 77 {
				t.Errorf("not by 198.51.100.77: %x", frame)
			}
		})
	}
}

// The client finds its gateway, the portal's own tunnel address, on its link; the
// portal still finds the tunnel's other end in the tunnel.
func TestRealClientsGateway(t *testing.T) {
	l := newLab(t, pfClosed)
	l.start(realLocal(config.RoutingPortal, config.EgressPF))
	w := l.wires["tap3"]
	ask := append(bytes.Repeat([]byte{0xff}, 6), neighbour...)
	ask = append(append(ask, 8, 6, 0, 1, 8, 0, 6, 4, 0, 1), neighbour...)
	ask = append(append(ask, addr("203.0.113.2").AsSlice()...), make([]byte, 6)...)
	w.write(append(ask, addr("172.19.152.3").AsSlice()...))
	answered := false
	for deadline := time.After(labPatience); !answered; {
		select {
		case b := <-w.frames:
			answered = b[12] == 8 && b[13] == 6 && b[21] == 2 && bytes.Equal(b[22:28], w.own) && bytes.Equal(b[28:32], addr("172.19.152.3").AsSlice())
			continue
		case <-deadline:
			t.Error("nobody answers the client's ARP request for its gateway")
		}
		break
	}
	l.leaves("nc0", l.send(l.socket("172.19.152.3:0", 0, false), "172.19.152.2:9999"))
	l.leaves("nc0", l.send(l.socket("[fd19:152::3]:0", 0, false), "[fd19:152::2]:9999"))
}

// A remote portal whose process is killed: until the next start has its tunnel,
// nobody answers for the client; then all is as before, with the rules that were
// left.
func TestRealTunnelComesBack(t *testing.T) {
	l := newLab(t, pfOpen)
	spec := Spec{
		Interface: "nc0", Role: config.Remote, Mode: config.RoutingPortal, Address: prefixes("172.19.152.3/31", "fd19:152::3/127"),
		Listens: []Endpoint{{"udp", 0, netip.MustParseAddrPort("[::]:4725")}}, KeepPorts: []uint16{22},
	}
	dir := t.TempDir()
	if _, err := Apply(dir, spec); err != nil {
		t.Fatal(err)
	}
	syn := func(port uint16) packet {
		return packet{netip.MustParseAddrPort("8.8.8.8:1000"), netip.AddrPortFrom(addr("192.0.2.2"), port), protoTCP}
	}
	l.closeTUN()
	l.comesIn("tap1", syn(443))
	l.staysInside(packet{syn(443).to, syn(443).from, protoTCP}) // a reset
	if kept, err := Inherit(dir, "nc0"); err != nil || !kept {
		t.Fatal(kept, err)
	}
	l.comesIn("tap1", syn(444))
	l.staysInside(packet{syn(444).to, syn(444).from, protoTCP})
	l.tun()
	r, err := Apply(dir, spec)
	if err != nil {
		t.Fatal(err)
	}
	l.comesIn("tap1", syn(445))
	l.leaves("nc0", syn(445))
	if err := r.Undo(); err != nil {
		t.Fatal(err)
	}
	l.comesIn("tap1", syn(446))
	l.leaves("tap1", packet{syn(446).to, syn(446).from, protoTCP}) // the host's own again
}

// What is too long for the tunnel is told to its sender, with the tunnel's MTU.
func TestRealTooBig(t *testing.T) {
	l := newLab(t, pfOpen)
	l.start(Spec{Interface: "nc0", Role: config.Remote, Mode: config.RoutingPortal, Address: prefixes("172.19.152.3/31", "fd19:152::3/127")})
	for _, c := range []struct {
		from, to, own string
		proto         uint8
	}{{"8.8.8.8:1000", "192.0.2.2:443", "8.8.8.8", 1}, {"[2001:db8:9::9]:1000", "[2001:db8:1::2]:443", "2001:db8:9::9", 58}} {
		p := udpPacket(c.from, c.to)
		b := p.long(1450)
		kind := []byte{8, 0}
		if p.from.Addr().Is6() {
			kind = []byte{0x86, 0xdd}
		}
		w := l.wires["tap1"]
		w.write(append(append(append(bytes.Clone(w.own), neighbour...), kind...), b...))
		told := false
		for deadline := time.After(labPatience); !told; {
			select {
			case b := <-w.frames:
				q, ok := parse(b[14:])
				told = ok && q.proto == c.proto && q.to.Addr() == addr(c.own) && bytes.Contains(b[14:], []byte{0x05, 0x78}) // 1400
				continue
			case <-deadline:
				t.Errorf("%v: the sender is told nothing", p)
			}
			break
		}
	}
}

// Where pf skips the tunnel, nat works, and portal says that it does not.
func TestRealSkip(t *testing.T) {
	l := newLab(t, "set skip on nc0\n"+pfOpen)
	spec := Spec{Interface: "nc0", Role: config.Remote, Mode: config.RoutingNAT, Address: prefixes("172.19.152.3/31")}
	r := l.start(spec)
	l.comesIn("nc0", udpPacket("172.19.152.2:1000", "8.8.8.8:9999"))
	if p, ok := l.next("tap1", "8.8.8.8:9999"); !ok || p.from.Addr() != addr("192.0.2.2") {
		t.Errorf("%v, %v", p, ok)
	}
	if w := r.Warnings(); len(w) > 0 {
		t.Errorf("%q", w)
	}
	if err := r.Undo(); err != nil {
		t.Fatal(err)
	}
	spec.Mode = config.RoutingPortal
	if w := l.start(spec).Warnings(); len(w) != 1 || !strings.Contains(w[0], "skip on nc0") {
		t.Errorf("%q", w)
	}
}

// What is missing is said in one line each, by what this pfctl really says.
func TestRealMissing(t *testing.T) {
	l := newLab(t, "pass all\n")
	_ = l
	nat := Spec{Interface: "nc0", Role: config.Remote, Mode: config.RoutingNAT, Address: prefixes("172.19.152.3/31")}
	refused := func(want string) {
		t.Helper()
		_, err := Apply(t.TempDir(), nat)
		if err == nil || !strings.Contains(err.Error(), want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%v, want %q in it", err, want)
		}
	}
	refused(callNAT)
	command(t, "/sbin/pfctl -q -d")
	refused("switched off")
}

func (l *lab) closeTUN() {
	l.Helper()
	if err := l.dev.Close(); err != nil {
		l.Fatal(err)
	}
	if _, err := tundevice.CleanUp("nc0"); err != nil {
		l.Fatal(err)
	}
}

// long is the packet with so many bytes, not to be fragmented, and no checksum of
// its payload that a router would look at.
func (p packet) long(size int) []byte {
	b := append(p.bytes(), make([]byte, size)...)[:size]
	if p.from.Addr().Is6() {
		b[4], b[5] = byte((size-40)>>8), byte(size-40)
		return b
	}
	b[2], b[3], b[6], b[10], b[11] = byte(size>>8), byte(size), 0x40, 0, 0
	sum := checksum(b[:20])
	b[10], b[11] = byte(sum>>8), byte(sum)
	return b
}

// A WAN loses its address, and with it the kernel takes away the FIB's routes; it
// gets another one, and all is there again.
func TestRealAddressComesBack(t *testing.T) {
	l := newLab(t, "")
	moreFIBs(t)
	spec := realLocal(config.RoutingNone, config.EgressFIB)
	spec.WANs, spec.Paths = []WAN{{Device: "tap1"}, {Device: "tap2"}}, []config.Path{{Name: "lte", Device: "tap2", Gateway: []netip.Addr{addr("198.51.100.1")}}}
	r := l.start(spec)
	old, other := prefixes("198.51.100.2/24")[0], prefixes("198.51.100.7/24")[0]
	for _, step := range []struct {
		change func(string, netip.Prefix) error
		prefix netip.Prefix
	}{{tundevice.RemoveAddress, old}, {tundevice.AddAddress, other}} {
		if err := step.change("tap2", step.prefix); err != nil {
			t.Fatal(err)
		}
		if err := r.Refresh(spec); err != nil {
			t.Fatal(err)
		}
	}
	fib, ok := r.FIB("tap2", netip.Addr{})
	l.leaves("tap2", l.send(l.socket("198.51.100.7:0", fib, ok), "203.0.113.2:4725"))
	if !ok {
		t.Error("the WAN has no FIB any more")
	}
	if err := r.Undo(); err != nil {
		t.Fatal(err)
	}
	if err := tundevice.RemoveAddress("tap2", other); err != nil {
		t.Fatal(err)
	}
	if err := tundevice.AddAddress("tap2", old); err != nil {
		t.Fatal(err)
	}
}
