package simnet

import (
	"context"
	"encoding/binary"
	"errors"
	"io"
	"net/netip"
	"strings"
	"testing"
	"time"

	"netcombiner/src/transport"
)

// tcpPair connects over l's link.
func (l *lab) tcpPair() (local, remote transport.Flow) {
	l.Helper()
	ln := l.listen(l.remote.TCP(), "203.0.113.1:4725")
	local = l.dial(l.local.TCP(), "wan1", "203.0.113.1:4725")
	remote, err := ln.Accept()
	if err != nil {
		l.Fatal(err)
	}
	remote.(transport.Authenticator).Authenticated()
	return local, remote
}

func TestTCPHandshakeTakesARoundTrip(t *testing.T) {
	inLab(t, both(Conditions{Delay: 30 * time.Millisecond}), func(l *lab) {
		a, b := l.tcpPair()
		if now := l.net.Now(); now != 90*time.Millisecond { // Accept: half a round trip later
			t.Errorf("connected and accepted at %v", now)
		}
		got := l.collect(b)
		l.send(a, "hello")
		l.wait(time.Second)
		if len(*got) != 1 || (*got)[0].at != 120*time.Millisecond || (*got)[0].from != a.Local() {
			t.Errorf("came %v", *got)
		}
	})
}

func TestTCPDialFails(t *testing.T) {
	inLab(t, both(Conditions{Delay: 30 * time.Millisecond}), func(l *lab) {
		_, err := l.local.TCP().Dial(context.Background(), transport.Bind{}, netip.AddrPortFrom(vps, 1))
		if !errors.Is(err, errRefused) || l.net.Now() != 60*time.Millisecond {
			t.Errorf("to a closed port: %v after %v", err, l.net.Now())
		}
		l.link.Cut(true)
		ctx, cancel := context.WithTimeout(context.Background(), 20*time.Second)
		defer cancel()
		start := l.net.Now()
		_, err = l.local.TCP().Dial(ctx, transport.Bind{}, netip.AddrPortFrom(vps, 1))
		if took := l.net.Now() - start; !errors.Is(err, context.DeadlineExceeded) || took != 20*time.Second {
			t.Errorf("to a black hole: %v after %v", err, took)
		}
	})
}

// TestTCPDelivers sends over every kind of bad link and wants all messages,
// once and in order.
func TestTCPDelivers(t *testing.T) {
	for name, c := range map[string]Conditions{
		"clean":   {},
		"loss":    {Loss: .03},
		"reorder": {Jitter: 10 * time.Millisecond},
		"all":     {Loss: .02, Jitter: 5 * time.Millisecond, Duplicate: .05, Corrupt: .02, Reorder: .05, Burst: Burst{.01, .2, 0, .3}},
	} {
		t.Run(name, func(t *testing.T) {
			c.Rate, c.Delay, c.QueueBytes = 20e6, 20*time.Millisecond, 60000
			inLab(t, both(c), func(l *lab) {
				a, b := l.tcpPair()
				got := l.collect(b)
				const messages = 3000
				rng := l.net.Rand("sizes")
				for i := range messages {
					msg := make([]byte, 4+rng.IntN(1400))
					binary.BigEndian.PutUint32(msg, uint32(i))
					l.send(a, string(msg))
				}
				a.Close() // must not lose what is on its way
				l.wait(5 * time.Minute)
				for i, g := range *got {
					if binary.BigEndian.Uint32([]byte(g.data)) != uint32(i) {
						t.Fatalf("message %d came in place of %d", binary.BigEndian.Uint32([]byte(g.data)), i)
					}
				}
				if len(*got) != messages {
					t.Errorf("%d of %d messages came", len(*got), messages)
				}
				if n := len(l.local.tcp); n != 0 {
					t.Errorf("%d connections left on the local host", n)
				}
			})
		})
	}
}

func TestTCPFillsTheLink(t *testing.T) {
	inLab(t, both(Conditions{Rate: 16e6, Delay: 15 * time.Millisecond, QueueBytes: 64000}), func(l *lab) {
		a, b := l.tcpPair()
		go func() {
			for {
				if _, err := a.Send([]transport.Message{{Buf: make([]byte, 1400)}}); err != nil {
					return
				}
			}
		}()
		l.collect(b)
		l.wait(2 * time.Second)
		before := l.link.Up.Counters()
		l.wait(10 * time.Second)
		after := l.link.Up.Counters()
		if rate := float64(after.DeliveredBytes-before.DeliveredBytes) * 8 / 10; rate < .95*16e6 {
			t.Errorf("%.1f of 16 Mbit/s; %d retransmits; %+v", rate/1e6, a.(*tcpConn).snd.retransmits, after)
		}
		a.Close()
	})
}

// TestTCPWaitsBehindALoss shows head-of-line blocking: one lost segment holds
// back those after it for about a round trip.
func TestTCPWaitsBehindALoss(t *testing.T) {
	inLab(t, both(Conditions{Delay: 50 * time.Millisecond}), func(l *lab) {
		a, b := l.tcpPair()
		got := l.collect(b)
		next := l.link.Up.Counters().In + 1
		l.link.Up.Change(func(c *Conditions) { c.LossList = []uint64{next} })
		start := l.net.Now()
		for _, m := range []string{"1", "2", "3", "4", "5"} {
			l.send(a, m)
			time.Sleep(time.Millisecond)
		}
		l.wait(time.Second)
		if joined(*got) != "12345" {
			t.Fatalf("came %v", *got)
		}
		// The fourth was acknowledged at 103 ms; the first comes again 50 ms later.
		for _, g := range *got {
			if g.at-start != 153*time.Millisecond {
				t.Errorf("%s came after %v", g.data, g.at-start)
			}
		}
	})
}

func TestTCPSendWaits(t *testing.T) {
	inLab(t, both(Conditions{Delay: 10 * time.Millisecond}), func(l *lab) {
		a, _ := l.tcpPair()
		l.link.Cut(true)
		sent, ended := 0, make(chan error)
		go func() {
			for {
				if _, err := a.Send([]transport.Message{{Buf: make([]byte, 1000)}}); err != nil {
					ended <- err
					return
				}
				sent++
			}
		}()
		l.wait(10 * time.Second)
		if sent > 100 {
			t.Errorf("a dead link swallowed %d messages", sent)
		}
		a.Close()
		if err := <-ended; err != transport.ErrClosed {
			t.Errorf("Send ended with %v", err)
		}
		l.wait(10 * time.Minute) // the system gives up too
		if n := len(l.local.tcp); n != 0 {
			t.Errorf("%d connections left", n)
		}
	})
}

// TestTCPReaderDecides shows flow control: with nobody reading, the sender
// stops; it goes on when somebody does, even when the news of it is lost.
func TestTCPReaderDecides(t *testing.T) {
	inLab(t, both(Conditions{Delay: 10 * time.Millisecond}), func(l *lab) {
		a, b := l.tcpPair()
		sent := 0
		go func() {
			for range 5000 {
				if _, err := a.Send([]transport.Message{{Buf: make([]byte, 1000)}}); err != nil {
					return
				}
				sent++
			}
		}()
		l.wait(30 * time.Second)
		if sent < 1000 || sent > 1200 {
			t.Errorf("%d messages of 1,000 bytes fit a buffer of 1 MiB", sent)
		}
		l.link.Down.Change(func(c *Conditions) { c.Loss = .3 })
		got := l.collect(b)
		l.wait(5 * time.Minute)
		if len(*got) != 5000 {
			t.Errorf("%d of 5000 messages came", len(*got))
		}
	})
}

func TestTCPEnds(t *testing.T) {
	inLab(t, LinkConfig{NAT: public1, Up: Conditions{Delay: time.Millisecond}, Down: Conditions{Delay: time.Millisecond}}, func(l *lab) {
		receive := func(f transport.Flow) error {
			_, err := f.Receive([]transport.Message{{Buf: make([]byte, 100)}})
			return err
		}
		ln := l.listen(l.remote.TCP(), "203.0.113.1:4725")
		connect := func() (a, b transport.Flow) {
			a = l.dial(l.local.TCP(), "wan1", "203.0.113.1:4725")
			b, _ = ln.Accept()
			return a, b
		}
		a, b := connect()
		a.Close()
		if err := receive(b); err != io.EOF {
			t.Errorf("the peer closed: %v", err)
		}
		b.Close()

		a, b = connect()
		l.link.Rebind() // the remote knows no connection from the new port
		l.send(a, "hello")
		if err := receive(a); !errors.Is(err, errReset) {
			t.Errorf("after a rebinding: %v", err)
		}
		b.Close()

		a, b = connect()
		start := l.net.Now()
		if err := receive(a); !errors.Is(err, errReset) || l.net.Now()-start > strangerLimit+time.Second {
			t.Errorf("never authenticated: %v after %v", err, l.net.Now()-start)
		}
		b.Close()

		a, b = connect()
		l.remote.Crash()
		l.send(a, "hello")
		if err := receive(a); !errors.Is(err, errReset) {
			t.Errorf("after a crash: %v", err)
		}
		if err := receive(b); !errors.Is(err, transport.ErrClosed) {
			t.Errorf("on the crashed host: %v", err)
		}
		if _, err := ln.Accept(); err != transport.ErrClosed {
			t.Errorf("Accept on the crashed host: %v", err)
		}
		l.wait(10 * time.Minute)
		if len(l.local.tcp)+len(l.remote.tcp) != 0 {
			t.Errorf("connections left: %v, %v", l.local.tcp, l.remote.tcp)
		}
	})
}

func TestTCPLongMessages(t *testing.T) {
	inLab(t, both(Conditions{MTU: 1500}), func(l *lab) {
		a, b := l.tcpPair()
		got := l.collect(b)
		long := strings.Repeat("0123456789", 6553)
		l.send(a, long)
		l.wait(time.Second)
		if len(*got) != 1 || (*got)[0].data != long {
			t.Errorf("%d came", len(*got))
		}
	})
}
