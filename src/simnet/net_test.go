package simnet

import (
	"context"
	"fmt"
	"net/netip"
	"testing"
	"testing/synctest"
	"time"

	"go.uber.org/goleak"

	"netcombiner/src/transport"
)

func TestMain(m *testing.M) { goleak.VerifyTestMain(m) }

var (
	vps     = netip.MustParseAddr("203.0.113.1")
	vps6    = netip.MustParseAddr("2001:db8::1")
	wan1    = netip.MustParseAddr("192.168.1.10")
	wan2    = netip.MustParseAddr("192.168.2.10")
	public1 = netip.MustParseAddr("198.51.100.1")
	public2 = netip.MustParseAddr("198.51.100.2")
)

// lab is a local and a remote host with one link.
type lab struct {
	*testing.T
	net           *Network
	local, remote *Host
	link          *Link
}

// inLab runs f in a bubble with a lab, and checks that all packets are
// accounted for.
func inLab(t *testing.T, c LinkConfig, f func(l *lab)) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		l := &lab{T: t, net: New(1)}
		l.remote = l.net.AddHost("remote", vps, vps6)
		l.local = l.net.AddHost("local")
		if c.Name == "" {
			c.Name = "wan1"
		}
		if !c.Addr.IsValid() {
			c.Addr = wan1
		}
		l.link = l.net.AddLink(l.local, l.remote, c)
		f(l)
		if err := l.net.Balance(); err != nil {
			t.Error(err)
		}
		l.net.Close()
	})
}

func both(c Conditions) LinkConfig { return LinkConfig{Up: c, Down: c} }

func (l *lab) listen(tr transport.Transport, addr string) transport.Listener {
	l.Helper()
	ln, err := tr.Listen(context.Background(), netip.MustParseAddrPort(addr))
	if err != nil {
		l.Fatal(err)
	}
	return ln
}

func (l *lab) dial(tr transport.Transport, device, remote string) transport.Flow {
	l.Helper()
	f, err := tr.Dial(context.Background(), transport.Bind{Device: device}, netip.MustParseAddrPort(remote))
	if err != nil {
		l.Fatal(err)
	}
	return f
}

// pair is a dialled UDP flow and the listening one.
func (l *lab) pair() (local, remote transport.Flow) {
	l.Helper()
	remote, err := l.listen(l.remote.UDP(), "203.0.113.1:4725").Accept()
	if err != nil {
		l.Fatal(err)
	}
	return l.dial(l.local.UDP(), "wan1", "203.0.113.1:4725"), remote
}

// arrival is a message and when it came.
type arrival struct {
	at   time.Duration
	data string
	from netip.AddrPort
}

func ap(s string) netip.AddrPort { return netip.MustParseAddrPort(s) }

func (a arrival) String() string { return fmt.Sprintf("%v %q from %v", a.at, a.data, a.from) }

// collect receives from f in the background until it is closed.
func (l *lab) collect(f transport.Flow) (got *[]arrival) {
	got = new([]arrival)
	go func() {
		ms := make([]transport.Message, 8)
		for i := range ms {
			ms[i].Buf = make([]byte, 65536)
		}
		for {
			n, err := f.Receive(ms)
			if err != nil {
				return
			}
			for _, m := range ms[:n] {
				*got = append(*got, arrival{l.net.Now(), string(m.Buf[:m.N]), m.Remote})
			}
		}
	}()
	return got
}

func (l *lab) send(f transport.Flow, data string) {
	l.Helper()
	if _, err := f.Send([]transport.Message{{Buf: []byte(data)}}); err != nil {
		l.Error(err)
	}
}

// wait lets d pass and everything settle.
func (l *lab) wait(d time.Duration) {
	time.Sleep(d)
	synctest.Wait()
}
