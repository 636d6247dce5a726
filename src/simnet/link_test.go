package simnet

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"strings"
	"testing"
	"time"

	"netcombiner/src/transport"
)

func TestNATAndRebind(t *testing.T) {
	inLab(t, LinkConfig{NAT: public1, Up: Conditions{Delay: time.Millisecond}, Down: Conditions{Delay: time.Millisecond}}, func(l *lab) {
		a, b := l.pair()
		atA, atB := l.collect(a), l.collect(b)
		ask := func() netip.AddrPort {
			l.send(a, "hello")
			l.wait(10 * time.Millisecond)
			from := (*atB)[len(*atB)-1].from
			b.Send([]transport.Message{{Buf: []byte("welcome"), Remote: from}})
			l.wait(10 * time.Millisecond)
			return from
		}
		first := ask()
		if first.Addr() != public1 || len(*atA) != 1 || (*atA)[0].from != netip.AddrPortFrom(vps, 4725) {
			t.Fatalf("the remote saw %v, the local %v", first, *atA)
		}
		l.link.Rebind()
		b.Send([]transport.Message{{Buf: []byte("to the dead mapping"), Remote: first}})
		l.wait(10 * time.Millisecond)
		if c := l.link.Down.Counters(); len(*atA) != 1 || c.Dropped[ByNAT] != 1 {
			t.Errorf("after the rebinding: %v, %+v", *atA, c)
		}
		second := ask()
		if second == first || second.Addr() != public1 || len(*atA) != 2 {
			t.Errorf("rebound from %v to %v, %v", first, second, *atA)
		}
		l.link.RebindTo(public2)
		if third := ask(); third.Addr() != public2 || len(*atA) != 3 {
			t.Errorf("rebound to %v, %v", third, *atA)
		}
		b.Send([]transport.Message{{Buf: []byte("to nobody"), Remote: second}})
		if n := l.net.Unrouted(); n != 1 {
			t.Errorf("%d unrouted", n)
		}
	})
}

func TestReaddressAndCarrier(t *testing.T) {
	inLab(t, both(Conditions{Delay: time.Millisecond}), func(l *lab) {
		a, b := l.pair()
		atB := l.collect(b)
		changes, stop := l.local.Watch()
		defer stop()
		l.send(a, "one")
		l.wait(10 * time.Millisecond)
		l.link.Readdress(wan2)
		<-changes
		_, err := a.Send([]transport.Message{{Buf: []byte("from the old address")}})
		if refused := new(transport.RefusedError); !errors.As(err, &refused) {
			t.Errorf("sending from the old address: %v", err)
		}
		c := l.dial(l.local.UDP(), "wan1", "203.0.113.1:4725")
		l.send(c, "two")
		l.wait(10 * time.Millisecond)
		if len(*atB) != 2 || (*atB)[0].from.Addr() != wan1 || (*atB)[1].from.Addr() != wan2 {
			t.Errorf("came %v", *atB)
		}
		l.link.SetCarrier(false)
		<-changes
		if _, err := c.Send([]transport.Message{{Buf: []byte("unplugged")}}); err == nil {
			t.Error("an unplugged interface sends")
		}
		if _, err := l.local.UDP().Dial(context.Background(), transport.Bind{Device: "wan1"}, netip.AddrPortFrom(vps, 1)); err == nil {
			t.Error("an unplugged interface dials")
		}
		if _, err := l.local.UDP().Dial(context.Background(), transport.Bind{Device: "wan9"}, netip.AddrPortFrom(vps, 1)); err == nil {
			t.Error("an interface that does not exist dials")
		}
	})
}

func TestTapAndInject(t *testing.T) {
	inLab(t, both(Conditions{Delay: time.Millisecond}), func(l *lab) {
		a, b := l.pair()
		atA, atB := l.collect(a), l.collect(b)
		var tape []Datagram
		stop := l.net.Tap(func(d Datagram) {
			d.Data = append([]byte(nil), d.Data...)
			tape = append(tape, d)
		})
		l.send(a, "secret")
		stop()
		l.send(a, "more")
		l.wait(10 * time.Millisecond)
		if len(tape) != 1 || tape[0].Pipe != l.link.Up || tape[0].To != netip.AddrPortFrom(vps, 4725) {
			t.Fatalf("tape: %+v", tape)
		}
		attacker := netip.MustParseAddrPort("192.0.2.66:666")
		if !l.net.Inject(attacker, tape[0].To, tape[0].Data) {
			t.Error("the remote has no socket")
		}
		if l.net.Inject(attacker, netip.AddrPortFrom(vps, 1), nil) {
			t.Error("a socket where there is none")
		}
		if l.net.Inject(attacker, a.Local(), []byte("x")) {
			t.Error("a connected socket took a stranger's datagram")
		}
		if !l.net.Inject(netip.AddrPortFrom(vps, 4725), a.Local(), []byte("forged")) {
			t.Error("a connected socket refused what seemed to be from its peer")
		}
		l.wait(10 * time.Millisecond)
		if joined(*atB) != "secretmoresecret" || (*atB)[2].from != attacker || joined(*atA) != "forged" {
			t.Errorf("remote %v, local %v", *atB, *atA)
		}
	})
}

func TestTapDropsSeesWhatIsLost(t *testing.T) {
	inLab(t, LinkConfig{Up: Conditions{Delay: time.Millisecond, LossList: []uint64{2}}}, func(l *lab) {
		a, _ := l.pair()
		var tape []string
		l.net.TapDrops(func(d Datagram, why Cause) {
			tape = append(tape, fmt.Sprint(d.Pipe.Name(), d.Number, string(d.Data), why))
		})
		for _, data := range []string{"one", "two", "three"} {
			l.send(a, data)
		}
		l.link.Cut(true) // while they are on the way
		l.wait(10 * time.Millisecond)
		if got := strings.Join(tape, " "); got != "local/wan1/up2twolist local/wan1/up1onecut local/wan1/up3threecut" {
			t.Error(got)
		}
	})
}

func TestIPv6AndWildcard(t *testing.T) {
	inLab(t, LinkConfig{Addr: netip.MustParseAddr("2001:db8:1::1")}, func(l *lab) {
		b, _ := l.listen(l.remote.UDP(), "[::]:4725").Accept()
		atB := l.collect(b)
		a := l.dial(l.local.UDP(), "", "[2001:db8::1]:4725")
		atA := l.collect(a)
		l.send(a, bytes972)
		l.wait(time.Millisecond)
		b.Send([]transport.Message{{Buf: []byte("back"), Remote: (*atB)[0].from}})
		l.wait(time.Millisecond)
		if joined(*atA) != "back" {
			t.Errorf("came back: %v", *atA)
		}
		if c := l.link.Up.Counters(); c.InBytes != 972+48 {
			t.Errorf("the packet took %d bytes", c.InBytes)
		}
		l.net.AddLink(l.local, l.remote, LinkConfig{Name: "wan2", Addr: wan2})
		c := l.dial(l.local.UDP(), "wan2", "203.0.113.1:4725")
		l.send(c, "v4 to the wildcard")
		l.wait(time.Millisecond)
		if len(*atB) != 2 || (*atB)[1].from.Addr() != wan2 {
			t.Errorf("came %v", *atB)
		}
	})
}

func TestSocketsEnd(t *testing.T) {
	inLab(t, LinkConfig{}, func(l *lab) {
		ln := l.listen(l.remote.UDP(), "203.0.113.1:4725")
		f, _ := ln.Accept()
		ended := make(chan error, 2)
		go func() { _, err := ln.Accept(); ended <- err }()
		go func() { _, err := f.Receive(make([]transport.Message, 1)); ended <- err }()
		l.wait(time.Second)
		ln.Close()
		f.Close()
		for range 2 {
			if err := <-ended; err != transport.ErrClosed {
				t.Errorf("ended with %v", err)
			}
		}
		if _, err := f.Send(nil); err != transport.ErrClosed {
			t.Errorf("Send after Close: %v", err)
		}
		again := l.listen(l.remote.UDP(), "203.0.113.1:4725")
		if _, err := l.remote.UDP().Listen(context.Background(), again.Addr()); err == nil {
			t.Error("two listeners on one port")
		}
	})
}
