package tundevice

import (
	"bytes"
	"context"
	"crypto/rand"
	"fmt"
	"io"
	"log/slog"
	"net"
	"os"
	"strings"
	"sync"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/routing/nstest"
)

// TestTransfer carries a TCP flow each way between the kernels of two hosts.
func TestTransfer(t *testing.T) {
	bothWays(t, func(t *testing.T, offload bool) {
		a, b := nstest.New(t, "a"), nstest.New(t, "b")
		one, other := up(t, a, offload), up(t, b, offload)
		// As the tunnel is: b's addresses are a's peers.
		b.Run("ip addr flush dev nc0", "ip addr add 10.9.0.1/31 dev nc0", "ip addr add fd09::1/127 nodad dev nc0")
		var pumps sync.WaitGroup
		var wrong [2]int
		for i, ends := range [][2]*TUN{{one, other}, {other, one}} {
			pumps.Go(func() { wrong[i] = pump(ends[0], ends[1]) })
		}
		for _, address := range []string{"10.9.0.1", "fd09::1"} {
			transfer(t, a, b, net.JoinHostPort(address, "5001"))
		}
		if other.out.joins && !offload {
			t.Error("super-packets are written all the same")
		}
		one.Close()
		other.Close()
		if pumps.Wait(); wrong != [2]int{} {
			t.Errorf("%d packets had wrong checksums", wrong)
		}
	})
}

// pump carries packets until a TUN is closed, and returns how many had a wrong
// checksum.
func pump(from, to *TUN) (wrong int) {
	bufs, sizes := buffers(from.BatchSize(), Headroom+1400), make([]int, from.BatchSize())
	packets := make([][]byte, 0, len(bufs))
	for {
		n, err := from.Read(bufs, sizes, Headroom)
		if err != nil {
			return wrong
		}
		packets = packets[:0]
		for i := range n {
			p := bufs[i][:Headroom+sizes[i]]
			if next := p[Headroom+6]; p[Headroom]>>4 == 4 || next == unix.IPPROTO_TCP {
				if !right(p[Headroom:]) {
					wrong++
				}
			}
			packets = append(packets, p)
		}
		if _, err := to.Write(packets, Headroom); err != nil {
			return wrong
		}
	}
}

// transfer sends some megabytes from a to b, which sends them back.
func transfer(t *testing.T, a, b *nstest.NS, address string) {
	t.Helper()
	var listener net.Listener
	var conn net.Conn
	b.Do(func() {
		var err error
		if listener, err = net.Listen("tcp", address); err != nil {
			t.Fatal(err)
		}
	})
	defer listener.Close()
	go func() {
		if c, err := listener.Accept(); err == nil {
			io.Copy(c, c)
			c.Close()
		}
	}()
	// IPv6 takes nothing in until the kernel has seen that the link is up.
	ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
	defer cancel()
	a.Do(func() {
		var err error
		for conn == nil && ctx.Err() == nil {
			d := net.Dialer{Timeout: 2 * time.Second}
			conn, err = d.Dial("tcp", address)
		}
		if conn == nil {
			t.Fatal(err)
		}
	})
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(30 * time.Second))
	sent := make([]byte, 4<<20)
	rand.Read(sent)
	go func() {
		conn.Write(sent)
		conn.(*net.TCPConn).CloseWrite()
	}()
	got, err := io.ReadAll(conn)
	if err != nil || !bytes.Equal(got, sent) {
		t.Fatalf("%s: %d bytes of %d came back (%v), the same: %v", address, len(got), len(sent), err, bytes.Equal(got, sent))
	}
}

// TestRefusedSuperPackets: a kernel that refuses them gets single packets, from
// then on, and the log has one line.
func TestRefusedSuperPackets(t *testing.T) {
	ns := nstest.New(t, "host")
	dev := up(t, ns, true)
	var log bytes.Buffer
	dev.log = slog.New(slog.NewTextHandler(&log, nil))
	kernel, refused := dev.out.try, 0
	dev.out.try = func(fd uintptr) bool {
		if dev.out.parts > 1 {
			refused++
			dev.out.errno = unix.EINVAL
			return true
		}
		return kernel(fd)
	}
	bufs := train(false, false, 2, make([]byte, 20000), 1000)
	if !dev.out.joins {
		t.Skip("this kernel does, for one")
	}
	ns.Run("ip link set nc0 down")
	if n, err := dev.Write(bufs, Headroom); n != 0 || err != nil || !dev.out.joins {
		t.Errorf("down: Write = %d, %v; still joins: %v", n, err, dev.out.joins)
	}
	ns.Run("ip link set nc0 up")
	refused = 0
	for range 3 {
		if n, err := dev.Write(bufs, Headroom); n != len(bufs) || err != nil {
			t.Errorf("Write = %d, %v, want %d", n, err, len(bufs))
		}
	}
	if lines := strings.Count(log.String(), "\n"); refused != 1 || lines != 1 {
		t.Errorf("%d refused, %d lines in the log:\n%s", refused, lines, &log)
	}
}

// TestProbe: of an interface that is down, a kernel says whether it knows the
// header.
func TestProbe(t *testing.T) {
	ns := nstest.New(t, "host")
	dev := up(t, ns, true)
	if !dev.out.joins {
		t.Skip("this kernel takes no super-packets")
	}
	for _, state := range []string{"down", "up"} {
		ns.Run("ip link set nc0 " + state)
		if err := dev.probe(false); err != nil {
			t.Errorf("%s: %v", state, err)
		}
		kernel := dev.out.try
		dev.out.try = func(fd uintptr) bool {
			dev.out.part(0, []byte{1: unix.VIRTIO_NET_HDR_GSO_TCPV4, 60: 0}) // segments of 0 bytes
			return kernel(fd)
		}
		if err := dev.probe(false); err != unix.EINVAL {
			t.Errorf("%s, a bad header: %v", state, err)
		}
		dev.out.try = kernel
	}
}

// TestOffloadsEndWithTheTUN: who opens an interface that lasts, after us, gets
// single packets unless it asks for more: also where we came to nothing, and
// read none.
func TestOffloadsEndWithTheTUN(t *testing.T) {
	for _, reads := range []bool{true, false} {
		t.Run(fmt.Sprintf("reads=%v", reads), func(t *testing.T) { offloadsEnd(t, reads) })
	}
}

func offloadsEnd(t *testing.T, reads bool) {
	ns := nstest.New(t, "host")
	ns.Run("ip tuntap add dev nc0 mode tun")
	dev := up(t, ns, true)
	fd := gso(t, ns, [4]byte{10, 9, 0, 1}, 1000)
	payload := make([]byte, 8000)
	if reads {
		unix.Write(fd, payload)
		gather(t, dev, 8, udpTo(9))
	}
	dev.Close()

	var tun int
	ns.Do(func() {
		var err error
		if tun, err = unix.Open(clonePath, unix.O_RDWR|unix.O_CLOEXEC, 0); err != nil {
			t.Fatal(err)
		}
		request, _ := unix.NewIfreq("nc0")
		request.SetUint16(unix.IFF_TUN | unix.IFF_NO_PI)
		if err := unix.IoctlIfreq(tun, unix.TUNSETIFF, request); err != nil {
			t.Fatal(err)
		}
	})
	defer unix.Close(tun)
	if _, err := unix.Write(fd, payload); err != nil {
		t.Fatal(err)
	}
	for p := make([]byte, 10000); ; {
		n, err := unix.Read(tun, p)
		if err != nil {
			t.Fatal(err)
		}
		if n > 24 && udpTo(9)(p[:n]) {
			if n > 1400 {
				t.Errorf("a packet of %d bytes", n)
			}
			return
		}
	}
}

// TestOffloadsOutliveTheMaker: who made the TUN for another process takes nothing
// back from it.
func TestOffloadsOutliveTheMaker(t *testing.T) {
	ns := nstest.New(t, "host")
	maker := up(t, ns, true)
	if !maker.out.runs.UDP {
		t.Skip("the kernel joins no UDP")
	}
	var dev *TUN
	ns.Do(func() {
		var err error
		if dev, err = FromFile(os.NewFile(uintptr(dup(t, maker)), "tun"), "nc0", Options{MTU: 1400, Offload: true}); err != nil {
			t.Fatal(err)
		}
	})
	defer dev.Close()
	maker.Close()
	unix.Write(gso(t, ns, [4]byte{10, 9, 0, 1}, 1000), make([]byte, 8000))
	gather(t, dev, 8, udpTo(9))
	if dev.in.frame[1] != unix.VIRTIO_NET_HDR_GSO_UDP_L4 {
		t.Error("the maker switched the offloads off")
	}
}

func TestReadAndWriteAllocateNothing(t *testing.T) {
	bothWays(t, func(t *testing.T, offload bool) {
		ns := nstest.New(t, "host")
		dev := up(t, ns, offload)
		fd := gso(t, ns, [4]byte{10, 9, 0, 1}, 1000)
		payload := make([]byte, 8000)
		bufs, sizes := buffers(64, Headroom+1400), make([]int, 64)
		if n := testing.AllocsPerRun(50, func() {
			unix.Write(fd, payload)
			for got := 0; got < 8; {
				n, err := dev.Read(bufs, sizes, Headroom)
				if err != nil {
					t.Fatal(err)
				}
				got += n
			}
		}); n != 0 {
			t.Errorf("reading: %v allocations", n)
		}
		packets := train(false, false, 2, make([]byte, 20000), 1000)
		if n := testing.AllocsPerRun(50, func() { dev.Write(packets, Headroom) }); n != 0 {
			t.Errorf("writing: %v allocations", n)
		}
	})
}

// BenchmarkRead is the cost of a packet that waits, of a burst of some that the
// host sends in one call.
func BenchmarkRead(b *testing.B) {
	benchmarkModes(b, func(b *testing.B, ns *nstest.NS, dev *TUN) {
		const segment, burst, bursts = 1360, 44, 40
		fd := gso(b, ns, [4]byte{10, 9, 0, 1}, segment)
		payload := make([]byte, segment*burst)
		bufs, sizes := buffers(64, 2048), make([]int, 64)
		var reading time.Duration
		packets := 0
		for packets < b.N {
			for range bursts {
				unix.Write(fd, payload)
			}
			start := time.Now()
			for left := burst * bursts; left > 0; {
				n, err := dev.Read(bufs, sizes, Headroom)
				if err != nil {
					b.Fatal(err)
				}
				packets += n
				left -= n
			}
			reading += time.Since(start)
		}
		b.ReportMetric(float64(reading.Nanoseconds())/float64(packets), "ns/op")
	})
}

// BenchmarkWrite is the cost of a packet of one or of several TCP flows, of
// which each batch has 48. The host has no use for them and drops them.
func BenchmarkWrite(b *testing.B) {
	for _, flows := range []int{1, 8} {
		b.Run(fmt.Sprint(flows, " flows"), func(b *testing.B) {
			benchmarkModes(b, func(b *testing.B, ns *nstest.NS, dev *TUN) {
				trains := make([][][]byte, flows)
				for i := range trains {
					trains[i] = train(false, false, byte(2+i), make([]byte, 1340*48/flows), 1340)
				}
				var bufs [][]byte
				for i := range 48 {
					bufs = append(bufs, trains[i%flows][i/flows])
				}
				for i := 0; i < b.N; i += len(bufs) {
					if _, err := dev.Write(bufs, Headroom); err != nil {
						b.Fatal(err)
					}
				}
			})
		})
	}
}

func benchmarkModes(b *testing.B, f func(b *testing.B, ns *nstest.NS, dev *TUN)) {
	for _, mode := range []string{"offload", "off"} {
		b.Run(mode, func(b *testing.B) {
			ns := nstest.New(b, "host")
			dev := up(b, ns, mode == "offload")
			b.ReportAllocs()
			b.ResetTimer()
			f(b, ns, dev)
		})
	}
}
