//go:build linux

package testbed

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/testbed/measure"
)

// trial is a kind of traffic.
type trial struct {
	name, title string
	of          func(subject) bool // which subjects; nil: all
	run         func(*bench, context.Context) error
}

// trials lists them in the order in which they run: what wants an idle tunnel comes first.
var trials = []trial{
	{name: "ping", title: "a ping through the idle tunnel", of: simple, run: func(b *bench, ctx context.Context) error { return b.ping(ctx, "idle") }},
	{name: "flow", title: "one TCP flow", run: func(b *bench, ctx context.Context) error { return b.tcp(ctx, 1) }},
	{name: "flows", title: "eight TCP flows", run: func(b *bench, ctx context.Context) error { return b.tcp(ctx, 8) }},
	{name: "small", title: "UDP, 64 bytes", run: func(b *bench, ctx context.Context) error { return b.udp(ctx, 64) }},
	{name: "large", title: "UDP, 1,400 bytes", run: func(b *bench, ctx context.Context) error { return b.udp(ctx, 1400) }},
	{name: "beside", title: "a ping beside one TCP flow", of: simple, run: (*bench).pingBeside},
	{name: "overhead", title: "a data packet's overhead", of: onePath, run: (*bench).overhead},
	{name: "start", title: "from start to the first packet", of: onePath, run: (*bench).firstPacket},
}

func onePath(o subject) bool { return o.paths == 1 }

// simple subjects are those whose latency is compared.
func simple(o subject) bool { return !o.ours() || o.paths == 1 && o.suite == "auto" }

// used is the processor time of each daemon so far, near's and then far's.
func (b *bench) used() (times []time.Duration) {
	for _, d := range b.stage.daemons {
		times = append(times, d.processorTime())
	}
	return times
}

// flowWarm is how long flows grow before they are measured.
const flowWarm = 500 * time.Millisecond

// tcp measures flows, and what they cost.
func (b *bench) tcp(ctx context.Context, flows int) error {
	for _, d := range directions {
		rate, used, err := b.flows(ctx, flows, d)
		if err != nil {
			return err
		}
		b.add(d, rateMetric, "Gbit/s", rate/1e9)
		gigabytes := rate * b.For.Seconds() / 8 / 1e9
		for i, u := range used {
			b.add(d, "CPU of the "+roles[i], "s/GB", u.Seconds()/gigabytes)
		}
	}
	return nil
}

// flows returns the rate of some, bit/s of payload, and the processor time that each daemon used meanwhile.
func (b *bench) flows(ctx context.Context, n int, d direction) (rate float64, used []time.Duration, err error) {
	streams := make([]*measure.Stream, n)
	for i := range streams {
		streams[i], err = measure.StartStream(ctx, b.stage.near, b.stage.far, b.stage.server, uint16(5250+i), measure.TCPTest{Down: d.down})
		if err != nil {
			return 0, nil, err
		}
		defer streams[i].Close()
	}
	if err := pause(ctx, flowWarm); err != nil {
		return 0, nil, err
	}
	from := make([]time.Duration, n)
	for i, s := range streams {
		from[i] = s.Now()
	}
	before := b.used()
	if err := pause(ctx, b.For); err != nil {
		return 0, nil, err
	}
	for i, after := range b.used() {
		used = append(used, after-before[i])
	}
	for i, s := range streams {
		if err := s.Broken(); err != nil {
			return 0, nil, err
		}
		rate += s.Rate(from[i], from[i]+b.For)
	}
	return rate, used, nil
}

// roles are the names of the daemons, in the order in which they are started.
var roles = []string{"local portal", "remote portal"}

// udp finds how many datagrams of a size cross. Where the search begins makes it shorter, and no more.
func (b *bench) udp(ctx context.Context, size int) error {
	begin := 100e3
	for _, d := range directions {
		blast := measure.NewBlast(b.stage.near, b.stage.far, b.stage.server)
		blast.Down, blast.Size = d.down, size
		rate, err := blast.Search(ctx, 0.001, begin)
		if err != nil {
			return err
		}
		b.add(d, packetsMetric, "Mpkt/s", rate/1e6)
		begin = max(rate, 10e3)
	}
	return nil
}

// ping measures round trips of single packets.
func (b *bench) ping(ctx context.Context, how string) error {
	r, err := measure.Ping{For: b.For, Every: 5 * time.Millisecond}.Run(ctx, b.stage.near, b.stage.server)
	if err != nil {
		return err
	}
	b.addOne(how+" ping, median", "ms", r.Quantile(0.5))
	b.addOne(how+" ping, p99", "ms", r.Quantile(0.99))
	return nil
}

// pingBeside does so while a flow fills the way down.
func (b *bench) pingBeside(ctx context.Context) error {
	flow, err := measure.StartStream(ctx, b.stage.near, b.stage.far, b.stage.server, 5221, measure.TCPTest{Down: true})
	if err != nil {
		return err
	}
	defer flow.Close()
	if err := pause(ctx, 300*time.Millisecond); err != nil {
		return err
	}
	return errors.Join(b.ping(ctx, "loaded"), flow.Broken())
}

// The size of the inner packets whose overhead is measured, and what a datagram's headers are of it.
const (
	innerSize    = 1000
	innerHeaders = 20 + 8
)

// overhead sends packets one by one and looks at them on the cable: alone, and
// with answers, so that each has what came before to acknowledge.
func (b *bench) overhead(ctx context.Context) error {
	for _, answer := range []bool{false, true} {
		extra, err := b.extra(ctx, answer)
		if err != nil {
			return err
		}
		if len(extra) < 20 { // the others went together, in one piece
			return fmt.Errorf("saw %d of 200 packets on the cable", len(extra))
		}
		if answer {
			b.addOne("overhead on IPv4, with an acknowledgement", "bytes", measure.Median(extra))
		} else {
			b.addOne(overheadMetric, "bytes", measure.Median(extra))
		}
	}
	return nil
}

// extra is by how much each data packet is longer on the cable than what it carries, bytes.
func (b *bench) extra(ctx context.Context, answer bool) (extra []float64, err error) {
	var cable int
	err = b.stage.far.Do(func() (err error) { cable, err = sniffer(cables[0]); return err })
	if err != nil {
		return nil, err
	}
	defer unix.Close(cable)
	answers, err := echo(b.stage, answer)
	if err != nil {
		return nil, err
	}
	defer answers.Close()
	conn, err := b.stage.dial()
	if err != nil {
		return nil, err
	}
	defer conn.Close()
	buf, payload := make([]byte, 64<<10), make([]byte, innerSize-innerHeaders)
	for range 200 {
		if _, err := conn.Write(payload); err != nil {
			return nil, err
		}
		if err := pause(ctx, time.Millisecond); err != nil {
			return nil, err
		}
		for {
			n, err := unix.Read(cable, buf)
			if err != nil {
				break // nothing more
			}
			// Neither an acknowledgement nor what probes the MTU.
			if more := int(binary.BigEndian.Uint16(buf[2:])) - innerSize; n >= 20 && more >= 0 && more < 150 {
				extra = append(extra, float64(more))
			}
		}
	}
	return extra, nil
}

// sniffer sees the IPv4 packets of an interface of the calling thread's namespace.
func sniffer(device string) (fd int, err error) {
	link, err := net.InterfaceByName(device)
	if err != nil {
		return -1, err
	}
	protocol := binary.BigEndian.Uint16(binary.NativeEndian.AppendUint16(nil, unix.ETH_P_IP))
	fd, err = unix.Socket(unix.AF_PACKET, unix.SOCK_DGRAM|unix.SOCK_CLOEXEC|unix.SOCK_NONBLOCK, int(protocol))
	if err != nil {
		return -1, err
	}
	if err := unix.Bind(fd, &unix.SockaddrLinklayer{Protocol: protocol, Ifindex: link.Index}); err != nil {
		unix.Close(fd)
		return -1, err
	}
	return fd, nil
}

// echoPort is where the far machine answers datagrams.
const echoPort = 5240

// dial makes a socket whose datagrams echo answers.
func (s *stage) dial() (conn *net.UDPConn, err error) {
	err = s.near.Do(func() (err error) {
		conn, err = net.DialUDP("udp4", nil, &net.UDPAddr{IP: s.server.AsSlice(), Port: echoPort})
		return err
	})
	return conn, err
}

// firstPacket starts the local portal again, and again, and sends until an answer comes.
func (b *bench) firstPacket(ctx context.Context) error {
	for range 3 {
		s, err := newStage()
		if err != nil {
			return err
		}
		took, err := b.first(ctx, s)
		s.close()
		if err != nil {
			return err
		}
		b.addOne(startMetric, "ms", float64(took)/1e6)
	}
	return nil
}

func (b *bench) first(ctx context.Context, s *stage) (took time.Duration, err error) {
	texts := b.subject.configs()
	if err := b.startPortal(s, s.far, texts.far); err != nil {
		return 0, err
	}
	if err := s.until(ctx, func() error { _, err := status(s.far); return err }); err != nil {
		return 0, err
	}
	answers, err := echo(s, true)
	if err != nil {
		return 0, err
	}
	defer answers.Close()
	began := time.Now()
	if err := b.startPortal(s, s.near, texts.near); err != nil {
		return 0, err
	}
	err = s.until(ctx, func() error {
		conn, err := s.dial()
		if err != nil {
			return err // no such interface yet
		}
		defer conn.Close()
		buf := make([]byte, 1)
		for range 1000 {
			if _, err = conn.Write(buf); err != nil {
				return err
			}
			conn.SetReadDeadline(time.Now().Add(time.Millisecond))
			if _, err = conn.Read(buf); err == nil {
				took = time.Since(began)
				return nil
			}
		}
		return err
	})
	return took, err
}

// echo takes the near machine's datagrams until it is closed, and may answer each.
func echo(s *stage, answer bool) (conn *net.UDPConn, err error) {
	err = s.far.Do(func() (err error) {
		conn, err = net.ListenUDP("udp4", &net.UDPAddr{Port: echoPort})
		return err
	})
	if err != nil {
		return nil, err
	}
	go func() {
		buf := make([]byte, 1500)
		for {
			n, from, err := conn.ReadFromUDPAddrPort(buf)
			if err != nil {
				return
			}
			if answer {
				conn.WriteToUDPAddrPort(buf[:n], from)
			}
		}
	}()
	return conn, nil
}
