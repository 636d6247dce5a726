package tundevice

import (
	"bytes"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"os"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/routing/nstest"
	"netcombiner/src/superpacket"
)

// bothWays runs f with offloads and without.
func bothWays(t *testing.T, f func(t *testing.T, offload bool)) {
	for name, offload := range map[string]bool{"offload": true, "no offload": false} {
		t.Run(name, func(t *testing.T) { f(t, offload) })
	}
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
func gather(t testing.TB, dev *TUN, count int, wanted func([]byte) bool) (got [][]byte) {
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
	bothWays(t, func(t *testing.T, offload bool) {
		ns := nstest.New(t, "host")
		dev := up(t, ns, offload)
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
	})
}

func swap(a, b []byte) {
	for i := range a {
		a[i], b[i] = b[i], a[i]
	}
}

// gso is a UDP socket, connected to to, that gives the kernel several datagrams
// at a time.
func gso(t testing.TB, ns *nstest.NS, to [4]byte, segment int) (fd int) {
	t.Helper()
	ns.Do(func() {
		var err error
		if fd, err = unix.Socket(unix.AF_INET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		if err := unix.Connect(fd, &unix.SockaddrInet4{Port: 9, Addr: to}); err != nil {
			t.Fatal(err)
		}
	})
	t.Cleanup(func() { unix.Close(fd) })
	if err := unix.SetsockoptInt(fd, unix.IPPROTO_UDP, unix.UDP_SEGMENT, segment); err != nil {
		t.Skipf("no UDP GSO in this kernel: %v", err)
	}
	return fd
}

// A sender may hand the kernel more than a packet at a time, and the kernel us.
func TestSuperPacketsAreCut(t *testing.T) {
	bothWays(t, func(t *testing.T, offload bool) {
		ns := nstest.New(t, "host")
		dev := up(t, ns, offload)
		const segment, segments = 1000, 8
		fd := gso(t, ns, [4]byte{10, 9, 0, 1}, segment)
		payload := make([]byte, segment*segments)
		for i := range payload {
			payload[i] = byte(i / segment)
		}
		send := func(payload []byte) {
			t.Helper()
			if _, err := unix.Write(fd, payload); err != nil {
				t.Fatal(err)
			}
		}
		send(payload)
		for i, p := range gather(t, dev, segments, udpTo(9)) {
			if len(p) != 28+segment || p[28] != byte(i) || !right(p) {
				t.Fatalf("segment %d: %d bytes, first %d, checksums right: %v", i, len(p), p[28], right(p))
			}
		}
		whole := dev.in.frame[1] == unix.VIRTIO_NET_HDR_GSO_UDP_L4
		if whole != (offload && dev.out.runs.UDP) {
			t.Errorf("the kernel handed over a super-packet: %v", whole)
		}

		// Few buffers take it in parts.
		send(payload)
		bufs, sizes, next := buffers(3, Headroom+1400), make([]int, 3), byte(0)
		for next < segments {
			n, err := dev.Read(bufs, sizes, Headroom)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				if p := bufs[i][Headroom : Headroom+sizes[i]]; udpTo(9)(p) {
					if p[28] != next {
						t.Fatalf("segment %d, want %d", p[28], next)
					}
					next++
				}
			}
		}

		// Short buffers lose what does not fit, not the device.
		send(payload)
		send([]byte("short"))
		before, short := dev.Unread(), false
		bufs, sizes = buffers(64, Headroom+100), make([]int, 64)
		for !short {
			n, err := dev.Read(bufs, sizes, Headroom)
			if err != nil {
				t.Fatal(err)
			}
			for i := range n {
				short = short || bytes.HasSuffix(bufs[i][:Headroom+sizes[i]], []byte("short"))
			}
		}
		if lost := dev.Unread() - before; lost < segments {
			t.Errorf("%d packets lost and counted, want %d", lost, segments)
		}
	})
}

// right says whether the checksums of a packet, without IPv4 options or IPv6
// extension headers, are right.
func right(p []byte) bool {
	var pseudo []byte
	if p[0]>>4 == 4 {
		if plainSum(p[:20]) != 0 {
			return false
		}
		pseudo = append(append(pseudo, p[12:20]...), 0, p[9])
		p = p[20:]
	} else {
		pseudo = append(append(pseudo, p[8:40]...), 0, p[6])
		p = p[40:]
	}
	pseudo = binary.BigEndian.AppendUint16(pseudo, uint16(len(p)))
	return plainSum(append(pseudo, p...)) == 0
}

func plainSum(b []byte) uint16 {
	s := uint32(0)
	for i, c := range b {
		s += uint32(c) << (8 * (1 - i%2))
		s = s&0xffff + s>>16
	}
	return ^uint16(s)
}

// train makes the packets of a flow, with room for a header before each.
func train(v6, udp bool, flow byte, payload []byte, size int) (bufs [][]byte) {
	ip := append([]byte{0x45, 0, 0, 0, 1, flow, 0, 0, 64, unix.IPPROTO_TCP, 0, 0}, 10, 9, 0, 1, 10, 8, 0, flow)
	kind := byte(unix.VIRTIO_NET_HDR_GSO_TCPV4)
	if v6 {
		ip = append([]byte{0x60, 0, 0, 0, 0, 0, unix.IPPROTO_TCP, 64, 0xfd, 9}, make([]byte, 30)...)
		ip[23], ip[24], ip[25], ip[39] = 1, 0xfd, 8, flow
		kind = unix.VIRTIO_NET_HDR_GSO_TCPV6
	}
	transport := []byte{0x99, flow, 0, 7, 1, 2, 3, flow, 1, 2, 3, 4, 0x80, 0x10, 1, 0, 0, 0, 0, 0, 1, 1, 8, 10, 0, 0, 0, 1, 0, 0, 0, 2}
	if udp {
		ip[map[bool]int{false: 9, true: 6}[v6]] = unix.IPPROTO_UDP
		kind, transport = unix.VIRTIO_NET_HDR_GSO_UDP_L4, []byte{0x99, flow, 0, 7, 0, 0, 0, 0}
	}
	frame := make([]byte, superpacket.HeaderSize)
	frame[1] = kind
	binary.NativeEndian.PutUint16(frame[4:], uint16(size))
	frame = append(append(append(frame, ip...), transport...), payload...)
	var s superpacket.Segmenter
	if err := s.Reset(frame); err != nil {
		panic(err)
	}
	for s.More() {
		buf := make([]byte, Headroom+1400)
		bufs = append(bufs, buf[:Headroom+s.Next(buf[Headroom:])])
	}
	return bufs
}

// TestKernelCutsWhatWeJoin forwards from one TUN to another: what is written to
// the one comes out of the other, whether the kernel has cut it or we.
func TestKernelCutsWhatWeJoin(t *testing.T) {
	bothWays(t, func(t *testing.T, offload bool) {
		bothWays(t, func(t *testing.T, offloadOut bool) {
			ns := nstest.New(t, "router")
			in := up(t, ns, offload)
			var out *TUN
			ns.Do(func() {
				var err error
				if out, err = Create("nc1", Options{MTU: 1400, Offload: offloadOut}); err != nil {
					t.Fatal(err)
				}
			})
			defer out.Close()
			ns.Run("ip link set nc1 up", "ip route add 10.8.0.0/24 dev nc1", "ip -6 route add fd08::/64 dev nc1",
				"sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1 net.ipv4.conf.all.rp_filter=0 net.ipv4.conf.nc0.rp_filter=0")
			payload := make([]byte, 20000)
			for i := range payload {
				payload[i] = byte(i * i >> 3)
			}
			for i := range 4 {
				v6, udp := i&1 != 0, i&2 != 0
				t.Run(fmt.Sprintf("IPv6 %v, UDP %v", v6, udp), func(t *testing.T) {
					// Two flows that take turns.
					a, b := train(v6, udp, 2, payload, 1200), train(v6, udp, 3, payload[:15500], 1200)
					var bufs [][]byte
					for i := range a {
						bufs = append(bufs, a[i])
						if i < len(b) {
							bufs = append(bufs, b[i])
						}
					}
					ours := func(p []byte) bool { return len(p) > 60 && p[0]>>4 == bufs[0][Headroom]>>4 }
					waitForForwarding(t, in, out, a[:1], ours)
					if n, err := in.Write(bufs, Headroom); n != len(bufs) || err != nil {
						t.Fatalf("Write = %d, %v, want %d", n, err, len(bufs))
					}
					if joined := in.out.parts > 1; joined != (offload && (!udp || in.out.runs.UDP)) {
						t.Errorf("the last write was of a super-packet: %v", joined)
					}
					at := map[byte][][]byte{2: a, 3: b}
					for _, got := range gather(t, out, len(bufs), ours) {
						flow := got[19]
						if v6 {
							flow = got[39]
						}
						want := bytes.Clone(at[flow][0][Headroom:])
						at[flow] = at[flow][1:]
						if !right(got) {
							t.Fatal("a wrong checksum")
						}
						if want[7]--; !v6 { // a hop
							want[7]++
							want[8]--
							copy(want[10:], got[10:12])
						}
						if !bytes.Equal(got, want) {
							t.Fatalf("flow %d: got\n%x, want\n%x", flow, got[:60], want[:60])
						}
					}
				})
			}
		})
	})
}

// waitForForwarding writes until something comes out: IPv6 takes nothing in
// until the kernel's own thread has seen that the link is up.
func waitForForwarding(t *testing.T, in, out *TUN, bufs [][]byte, ours func([]byte) bool) {
	t.Helper()
	const enough = 3
	done := make(chan struct{})
	go func() {
		defer close(done)
		gather(t, out, enough, ours)
	}()
	for i := 0; i < 500; i++ {
		if _, err := in.Write(bufs, Headroom); err != nil {
			t.Fatal(err)
		}
		select {
		case <-done:
			drain(out)
			return
		case <-time.After(10 * time.Millisecond):
		}
	}
	t.Fatal("nothing is forwarded")
}

// drain throws away what waits to be read.
func drain(dev *TUN) {
	for {
		if _, err := dev.readFrame(false); err != nil {
			return
		}
	}
}

// TestReadGoesOnAfterAFault: the kernel may fail to hand over a packet, but not
// all of them for ever.
func TestReadGoesOnAfterAFault(t *testing.T) {
	ns := nstest.New(t, "host")
	dev := up(t, ns, true)
	kernel, faults := dev.in.try, 0
	dev.in.try = func(fd uintptr) bool {
		if faults > 0 {
			faults--
			dev.in.n, dev.in.err = -1, unix.EINVAL
			return true
		}
		return kernel(fd)
	}
	ns.Do(func() {
		conn, err := net.Dial("udp", "10.9.0.1:7")
		if err != nil {
			t.Fatal(err)
		}
		defer conn.Close()
		for range 2 { // as many again: those before are forgotten
			before := dev.Unread()
			faults = maxFaults
			fmt.Fprint(conn, "ping")
			gather(t, dev, 1, udpTo(7))
			if got := dev.Unread() - before; got != maxFaults {
				t.Errorf("%d of %d counted", got, maxFaults)
			}
		}
	})
	faults = maxFaults + 1
	if _, err := dev.Read(buffers(1, Headroom+1400), make([]int, 1), Headroom); !errors.Is(err, unix.EINVAL) {
		t.Errorf("faults without end: %v", err)
	}
}
