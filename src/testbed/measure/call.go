//go:build linux

package measure

import (
	"context"
	"encoding/binary"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"slices"
	"syscall"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/testbed/netns"
)

// Call is a stream of datagrams at even intervals. The zero values of the
// last three are what iperf3 sends at 1.05 Mbit/s, the paper's test.
type Call struct {
	For   time.Duration
	Down  bool          // from the server to the client; who calls is always the client
	Size  int           // payload bytes; 0: 1448
	Every time.Duration // 0: 453 in 5 s
	Port  uint16        // of the server; 0: 5202
}

// CallResult tells the fate of a call's datagrams.
type CallResult struct {
	Sent, Lost int
	LostAt     []time.Duration // when each of the lost was sent, since the first
	Duplicate  int             // came more than once
	Late       int             // came after a later one
	Gap        time.Duration   // longest silence between two arrivals
	GapAt      time.Duration   // when that silence began, since the first was sent
	Jitter     time.Duration   // RFC 3550's, at the end
	MeanJitter time.Duration   // its mean over the call: what one late datagram at the end does not decide
	Delay      []time.Duration // of each that arrived, in the order of arrival
	Rate       float64         // bit/s of IP packets, from the first arrival to the last
}

// MaxDelay is the longest way of a datagram that arrived.
func (r CallResult) MaxDelay() time.Duration {
	if len(r.Delay) == 0 {
		return 0
	}
	return slices.Max(r.Delay)
}

func (r CallResult) String() string {
	s := fmt.Sprintf("lost %d of %d", r.Lost, r.Sent)
	for i, at := range r.LostAt {
		if i == 3 {
			s += " …"
			break
		}
		s += fmt.Sprintf(" (%.3f s)", at.Seconds())
	}
	return s + fmt.Sprintf(", longest gap %.1f ms (%.3f s)", float64(r.Gap)/1e6, r.GapAt.Seconds())
}

// callWait is how long after the last datagram one may still arrive.
const callWait = time.Second

// Run makes the call from client to the server at addr. Both clocks are this
// host's; arrivals are stamped by the kernel. began, if not nil, is called when
// the first datagram is about to leave.
func (c Call) Run(ctx context.Context, client, server *netns.Namespace, addr netip.Addr, began func()) (CallResult, error) {
	if c.Size == 0 {
		c.Size = 1448
	}
	if c.Every == 0 {
		c.Every = 5 * time.Second / 453
	}
	if c.Port == 0 {
		c.Port = 5202
	}
	to := netip.AddrPortFrom(addr, c.Port)
	there, err := listenIn(server, netip.AddrPortFrom(unspecified(addr), c.Port))
	if err != nil {
		return CallResult{}, err
	}
	defer there.Close()
	here, err := listenIn(client, netip.AddrPortFrom(unspecified(addr), 0))
	if err != nil {
		return CallResult{}, err
	}
	defer here.Close()
	// The client speaks first, as behind a NAT it must.
	from, err := dialUp(ctx, here, there, to)
	if err != nil {
		return CallResult{}, err
	}
	sender, receiver, destination := here, there, to
	if c.Down {
		sender, receiver, destination = there, here, from
	}

	n := int(c.For / c.Every)
	heard := make(chan []arrival, 1)
	go func() { heard <- receive(receiver, n) }()
	if began != nil {
		began()
	}
	sent, err := c.send(ctx, sender, destination, n)
	receiver.SetReadDeadline(time.Now().Add(callWait))
	arrivals := <-heard
	if err != nil {
		return CallResult{}, err
	}
	r := judge(sent, arrivals)
	header := 28
	if addr.Is6() {
		header = 48
	}
	if n := len(arrivals); n > 1 {
		r.Rate = float64((n-1)*(c.Size+header)*8) / arrivals[n-1].at.Sub(arrivals[0].at).Seconds()
	}
	return r, nil
}

// send sends n datagrams and returns when each left.
func (c Call) send(ctx context.Context, conn *net.UDPConn, to netip.AddrPort, n int) ([]time.Time, error) {
	datagram := make([]byte, c.Size)
	sent := make([]time.Time, 0, n)
	start := time.Now()
	timer := time.NewTimer(0)
	defer timer.Stop()
	for i := range n {
		timer.Reset(time.Until(start.Add(time.Duration(i) * c.Every)))
		select {
		case <-ctx.Done():
			return nil, context.Cause(ctx)
		case <-timer.C:
		}
		binary.BigEndian.PutUint64(datagram, uint64(i)+1)
		sent = append(sent, time.Now())
		// A refusal (no route for a moment) is a lost datagram.
		conn.WriteToUDPAddrPort(datagram, to)
	}
	return sent, nil
}

// arrival is a datagram that came.
type arrival struct {
	n  int // 0 is the first
	at time.Time
}

// receive collects datagrams until the read deadline.
func receive(conn *net.UDPConn, n int) []arrival {
	arrivals := make([]arrival, 0, n)
	buf, oob := make([]byte, 65536), make([]byte, 128)
	for {
		size, oobn, _, _, err := conn.ReadMsgUDPAddrPort(buf, oob)
		if errors.Is(err, unix.ECONNREFUSED) {
			continue
		}
		if err != nil {
			return arrivals
		}
		at := time.Now()
		if messages, err := unix.ParseSocketControlMessage(oob[:oobn]); err == nil && len(messages) > 0 && len(messages[0].Data) >= 16 {
			at = time.Unix(int64(binary.NativeEndian.Uint64(messages[0].Data)), int64(binary.NativeEndian.Uint64(messages[0].Data[8:])))
		}
		if number := binary.BigEndian.Uint64(buf[:max(8, size)]); size >= 8 && number >= 1 && number <= uint64(n) {
			arrivals = append(arrivals, arrival{int(number) - 1, at})
		}
	}
}

// judge compares what was sent with what came, in the order it came.
func judge(sent []time.Time, arrivals []arrival) CallResult {
	r := CallResult{Sent: len(sent), Lost: len(sent)}
	if len(sent) == 0 {
		return r
	}
	seen := make([]bool, len(sent))
	highest, last := -1, time.Time{}
	var lastDelay, jitters time.Duration
	for _, a := range arrivals {
		if a.n >= len(sent) {
			continue
		}
		if seen[a.n] {
			r.Duplicate++
			continue
		}
		seen[a.n] = true
		r.Lost--
		if a.n < highest {
			r.Late++
		}
		highest = max(highest, a.n)
		delay := a.at.Sub(sent[a.n].Round(0)) // wall clock, as the kernel's stamp
		r.Delay = append(r.Delay, delay)
		if !last.IsZero() {
			if gap := a.at.Sub(last); gap > r.Gap {
				r.Gap, r.GapAt = gap, last.Sub(sent[0].Round(0))
			}
			r.Jitter += ((delay - lastDelay).Abs() - r.Jitter) / 16
		}
		last, lastDelay = a.at, delay
		jitters += r.Jitter
	}
	if n := len(r.Delay); n > 0 {
		r.MeanJitter = jitters / time.Duration(n)
	}
	for i, ok := range seen {
		if !ok {
			r.LostAt = append(r.LostAt, sent[i].Sub(sent[0]))
		}
	}
	// A call that falls silent and stays so has no next arrival.
	if end := sent[len(sent)-1].Round(0); last.IsZero() {
		r.Gap = end.Sub(sent[0].Round(0))
	} else if gap := end.Sub(last); gap > r.Gap {
		r.Gap, r.GapAt = gap, last.Sub(sent[0].Round(0))
	}
	return r
}

// dialUp lets the client call until the server hears it, and returns the
// address at which it does.
func dialUp(ctx context.Context, client, server *net.UDPConn, to netip.AddrPort) (netip.AddrPort, error) {
	buf := make([]byte, 2048)
	for range 50 {
		if err := ctx.Err(); err != nil {
			return netip.AddrPort{}, context.Cause(ctx)
		}
		client.WriteToUDPAddrPort(make([]byte, 8), to)
		server.SetReadDeadline(time.Now().Add(200 * time.Millisecond))
		if _, from, err := server.ReadFromUDPAddrPort(buf); err == nil {
			server.SetReadDeadline(time.Time{})
			return from, nil
		}
	}
	return netip.AddrPort{}, fmt.Errorf("call: nothing from the client reaches %v in 10 s", to)
}

// listenIn opens a socket on a machine whose arrivals the kernel stamps.
func listenIn(on *netns.Namespace, addr netip.AddrPort) (conn *net.UDPConn, err error) {
	lc := net.ListenConfig{Control: func(_, _ string, raw syscall.RawConn) error {
		return errors.Join(raw.Control(func(fd uintptr) {
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_TIMESTAMPNS, 1)
			// Beyond the system's maximum: a receiver that is late to read loses nothing.
			unix.SetsockoptInt(int(fd), unix.SOL_SOCKET, unix.SO_RCVBUFFORCE, 8<<20)
		}))
	}}
	err = on.Do(func() error {
		pc, err := lc.ListenPacket(context.Background(), "udp", addr.String())
		if err == nil {
			conn = pc.(*net.UDPConn)
		}
		return err
	})
	return conn, err
}

func unspecified(like netip.Addr) netip.Addr {
	if like.Is4() {
		return netip.IPv4Unspecified()
	}
	return netip.IPv6Unspecified()
}
