package routing

import (
	"bufio"
	"errors"
	"fmt"
	"net"
	"net/netip"
	"os"
	"strings"
	"sync/atomic"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/routing/nstest"
)

// serve answers TCP connections and UDP datagrams to address:port in ns with
// name and the address that they came from.
func (l *lab) serve(ns *nstest.NS, name, address string, port int) {
	l.t.Helper()
	at := net.JoinHostPort(address, fmt.Sprint(port))
	var tcp net.Listener
	var udp net.PacketConn
	ns.Do(func() {
		var err error
		if tcp, err = net.Listen("tcp", at); err != nil {
			l.t.Fatal(err)
		}
		if udp, err = net.ListenPacket("udp", at); err != nil {
			l.t.Fatal(err)
		}
	})
	l.t.Cleanup(func() { tcp.Close(); udp.Close() })
	host := func(a net.Addr) string { return netip.MustParseAddrPort(a.String()).Addr().Unmap().String() }
	go func() {
		for {
			conn, err := tcp.Accept()
			if err != nil {
				return
			}
			fmt.Fprintf(conn, "%s %s\n", name, host(conn.RemoteAddr()))
			conn.Close()
		}
	}()
	go func() {
		buf := make([]byte, 2000)
		for {
			_, from, err := udp.ReadFrom(buf)
			if err != nil {
				return
			}
			fmt.Fprintf(writer{udp, from}, "%s %s\n", name, host(from))
		}
	}()
}

type writer struct {
	conn net.PacketConn
	to   net.Addr
}

func (w writer) Write(p []byte) (int, error) { return w.conn.WriteTo(p, w.to) }

// ask connects from ns to address:port and returns the answer of serve there.
// bind is "", a device, or a source address.
func (l *lab) ask(ns *nstest.NS, network, address string, port int, bind string) string {
	dialer := net.Dialer{Timeout: 3 * time.Second}
	if source, err := netip.ParseAddr(bind); err == nil {
		if network == "tcp" {
			dialer.LocalAddr = net.TCPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
		} else {
			dialer.LocalAddr = net.UDPAddrFromAddrPort(netip.AddrPortFrom(source, 0))
		}
	} else if bind != "" {
		dialer.Control = func(_, _ string, raw syscall.RawConn) error {
			var err error
			raw.Control(func(fd uintptr) { err = unix.BindToDevice(int(fd), bind) })
			return err
		}
	}
	var conn net.Conn
	var err error
	ns.Do(func() { conn, err = dialer.Dial(network, net.JoinHostPort(address, fmt.Sprint(port))) })
	if err != nil {
		return err.Error()
	}
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(3 * time.Second))
	if network == "udp" {
		fmt.Fprint(conn, "?")
	}
	line, err := bufio.NewReader(conn).ReadString('\n')
	if err != nil {
		return err.Error()
	}
	return strings.TrimSpace(line)
}

// expect asks over TCP and UDP, and fails unless both are answered as wanted.
func (l *lab) expect(ns *nstest.NS, address string, port int, bind, want string) {
	l.t.Helper()
	for _, network := range []string{"tcp", "udp"} {
		if got := l.ask(ns, network, address, port, bind); got != want {
			l.t.Errorf("%s to %s port %d (bound to %q): %q, want %q", network, address, port, bind, got, want)
		}
	}
}

// connection is one of TCP from the server to the client's address:port.
func (l *lab) connection(address string, port int) (client, server net.Conn) {
	l.t.Helper()
	at := net.JoinHostPort(address, fmt.Sprint(port))
	var listener net.Listener
	var err error
	l.client.Do(func() { listener, err = net.Listen("tcp", at) })
	if err != nil {
		l.t.Fatal(err)
	}
	defer listener.Close()
	l.server.Do(func() { server, err = net.DialTimeout("tcp", at, 3*time.Second) })
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { server.Close() })
	if client, err = listener.Accept(); err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(func() { client.Close() })
	return client, server
}

// call is a UDP flow from the server that asks what serve answers, every
// millisecond.
type call struct {
	t       *testing.T
	conn    net.Conn
	want    string
	refused atomic.Int64 // packets, by an ICMP error
	over    chan struct{}
}

// call begins one to port 80 of address, of whose answers want is the right one.
func (l *lab) call(address, want string) *call {
	l.t.Helper()
	c := &call{t: l.t, want: want, over: make(chan struct{})}
	var err error
	l.server.Do(func() { c.conn, err = net.Dial("udp", net.JoinHostPort(address, "80")) })
	if err != nil {
		l.t.Fatal(err)
	}
	l.t.Cleanup(c.hangUp)
	go func() {
		defer close(c.over)
		for {
			_, err := c.conn.Write([]byte("?"))
			if errors.Is(err, net.ErrClosed) {
				return
			}
			if err != nil {
				c.refused.Add(1)
			}
			time.Sleep(time.Millisecond)
		}
	}()
	return c
}

// expect waits for an answer to what is asked from now on.
func (c *call) expect(when string) {
	c.t.Helper()
	c.conn.SetReadDeadline(time.Now().Add(100 * time.Millisecond))
	buf := make([]byte, 100)
	for { // what came in before
		if _, err := c.conn.Read(buf); errors.Is(err, os.ErrDeadlineExceeded) {
			break
		}
	}
	var n int
	err := error(syscall.ECONNREFUSED)
	c.conn.SetReadDeadline(time.Now().Add(3 * time.Second))
	for errors.Is(err, syscall.ECONNREFUSED) {
		if n, err = c.conn.Read(buf); err != nil {
			c.refused.Add(1)
		}
	}
	if got := strings.TrimSpace(string(buf[:n])); got != c.want {
		c.t.Errorf("%s: %s is answered %q, %v, want %q", when, c.conn.RemoteAddr(), got, err, c.want)
	}
}

func (c *call) hangUp() { c.conn.Close(); <-c.over }
