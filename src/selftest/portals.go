package selftest

import (
	"bytes"
	"context"
	"errors"
	"log/slog"
	"net/netip"
	"os"
	"strconv"
	"strings"
	"sync"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/portal"
	"netcombiner/src/transport"
)

// crossing is how long a handshake and two packets may take.
const crossing = 3 * time.Second

var errCrossing = errors.New("no packet crossed in " + crossing.String())

// portals has a tunnel of each transport carry a packet each way, all at once.
func (r *run) portals() {
	all := r.Transports()
	errs := make([]error, len(all))
	var tried sync.WaitGroup
	for i, t := range all {
		tried.Go(func() { errs[i] = r.pair(t) })
	}
	tried.Wait()
	for i, t := range all {
		r.judge("two portals over "+t.Name(), r.uses(t.Name()), errs[i], "handshake, and a packet each way",
			"see that the loopback interface is up (ip link set lo up; FreeBSD: ifconfig lo0 127.0.0.1/8 up) and filtered by nobody")
	}
}

// pair joins two portals by a transport.
func (r *run) pair(t transport.Transport) error {
	way := "\n" + `Transport = ` + t.Name() + "\n"
	if n, ok := t.(transport.Numbered); ok {
		t = n.Number(protocol)
		way += "Protocol = " + strconv.Itoa(protocol) + "\n"
	}
	at, err := loopback(r.ctx, t)
	if err != nil {
		return err
	}
	begin := "[Interface]\nKey = " + config.GenerateKey().Base64() + "\nAddress = 192.0.2.12"
	timed, stop := context.WithTimeoutCause(r.ctx, crossing, errCrossing)
	defer stop()
	ctx, end := context.WithCancelCause(timed)
	var running sync.WaitGroup
	defer running.Wait()
	defer end(nil)
	remote, local := newPlug(), newPlug()
	for _, one := range []struct {
		*plug
		text string
	}{
		{remote, begin + "0/31\nRole = remote\n[Listen]" + way + "Address = " + at + "\n"},
		{local, begin + "1/31\nRole = local\n[Path]" + way + "Remote = " + at + "\n"},
	} {
		c, err := config.Parse("selftest", strings.NewReader(one.text))
		if err != nil {
			return err
		}
		p, err := portal.New(portal.Options{Config: c, Device: one.plug, Transports: []transport.Transport{t}, Resolve: literal, Log: slog.New(slog.DiscardHandler)})
		if err != nil {
			return err
		}
		ready := make(chan struct{})
		running.Go(func() { end(p.Run(ctx, func() { close(ready) })) })
		select {
		case <-ready:
		case <-ctx.Done():
			return context.Cause(ctx)
		}
	}
	if !local.reaches(ctx, remote) || !remote.reaches(ctx, local) {
		return context.Cause(ctx)
	}
	return nil
}

// literal resolves addresses.
func literal(_ context.Context, host string, _ transport.Bind) ([]netip.Addr, error) {
	a, err := netip.ParseAddr(host)
	return []netip.Addr{a}, err
}

// loopback is a place at 127.0.0.1 that is free.
func loopback(ctx context.Context, t transport.Transport) (string, error) {
	l, err := t.Listen(ctx, netip.MustParseAddrPort("127.0.0.1:0"))
	if err != nil {
		return "", err
	}
	defer l.Close()
	if at := l.Addr(); at.Port() != 0 {
		return at.String(), nil
	}
	return "127.0.0.1", nil // no ports
}

// plug is a TUN whose host we are.
type plug struct {
	in, out chan []byte
	ended   chan struct{}
	once    sync.Once
}

func newPlug() *plug {
	return &plug{in: make(chan []byte, 1), out: make(chan []byte, 64), ended: make(chan struct{})}
}

// reaches says whether a packet into one plug leaves the other before ctx ends: one
// of UDP, which needs no data.
func (p *plug) reaches(ctx context.Context, other *plug) bool {
	sent := []byte{0x45, 0, 0, 28, 0, 0, 0x40, 0, 64, protoUDP, 0, 0, 192, 0, 2, 120, 192, 0, 2, 121, 0, 9, 0, 9, 0, 8, 0, 0}
	for ctx.Err() == nil {
		select {
		case p.in <- sent:
		default:
		}
		select {
		case got := <-other.out:
			if bytes.Equal(got, sent) {
				return true
			}
		case <-time.After(20 * time.Millisecond):
		case <-ctx.Done():
		}
	}
	return false
}

func (p *plug) Read(bufs [][]byte, sizes []int, offset int) (int, error) {
	select {
	case b := <-p.in:
		sizes[0] = copy(bufs[0][offset:], b)
		return 1, nil
	case <-p.ended:
		return 0, os.ErrClosed
	}
}

func (p *plug) Write(bufs [][]byte, offset int) (int, error) {
	for _, b := range bufs {
		select {
		case p.out <- append([]byte(nil), b[offset:]...):
		default:
		}
	}
	return len(bufs), nil
}

func (p *plug) BatchSize() int   { return 1 }
func (p *plug) SetMTU(int) error { return nil }
func (p *plug) Name() string     { return Name }

func (p *plug) Close() error {
	p.once.Do(func() { close(p.ended) })
	return nil
}
