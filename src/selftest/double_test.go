package selftest

import (
	"context"
	"encoding/binary"
	"errors"
	"net/netip"
	"os"
	"sync"
	"syscall"
	"testing"
	"time"

	"netcombiner/src/linkwatch"
	"netcombiner/src/routing"
	"netcombiner/src/transport"
	"netcombiner/src/tundevice"
	"netcombiner/src/tundevice/tuntest"
	"netcombiner/src/udpsocket"
)

// double is a host on which all is well, until a test takes something away. What is
// made there is counted until it is undone.
type double struct {
	*Host
	tun      *tuntest.TUN
	made     int
	told     []linkwatch.Event // what the kernel tells; nil: it hangs up
	silent   bool              // nothing comes back from the TUN
	pieces   bool              // too long packets leave in fragments
	fib      int               // what the last socket bound to the TUN was in; -1: none
	readOnly map[string]bool
	mu       sync.Mutex
}

func (d *double) count(n int) {
	d.mu.Lock()
	defer d.mu.Unlock()
	d.made += n
}

func (d *double) make() (undo func() error, err error) {
	d.count(1)
	return func() error { d.count(-1); return nil }, nil
}

// closing is a TUN that is counted.
type closing struct {
	*tuntest.TUN
	once func()
}

func (c closing) Close() error { c.once(); return c.TUN.Close() }

func newDouble(t *testing.T) *double {
	t.Helper()
	d := &double{fib: -1, readOnly: map[string]bool{}}
	d.told = []linkwatch.Event{{Device: "eth0", Kind: linkwatch.LinkUp}, {Device: Name, Kind: linkwatch.AddrAdded}}
	d.Host = &Host{
		Folders: [3]string{"/run/nc", "/state/nc", "/etc/nc"},
		CreateTUN: func(name string, mtu int) (tundevice.Device, error) {
			d.tun = tuntest.New(name, mtu, 4)
			d.count(1)
			return closing{d.tun, sync.OnceFunc(func() { d.count(-1) })}, nil
		},
		Configure: func(string, ...netip.Prefix) (func() error, error) { return d.make() },
		Addresses: func() []netip.Prefix { return nil },
		Watch: func(context.Context) (<-chan linkwatch.Event, error) {
			events := make(chan linkwatch.Event, len(d.told))
			for _, e := range d.told {
				events <- e
			}
			if d.told == nil {
				close(events)
			}
			return events, nil
		},
		Dial: func(ctx context.Context, bind transport.Bind, to netip.AddrPort, fib udpsocket.FIB) (transport.Flow, error) {
			if bind.Device == Name && fib != nil {
				d.fib, _ = fib(ctx, bind.Device, bind.Addr)
			}
			return d.flow(protoUDP, to), nil
		},
		DialRaw: func(_ context.Context, to netip.Addr) (transport.Flow, error) {
			return d.flow(protocol, netip.AddrPortFrom(to, 0)), nil
		},
		Buffers:    func(context.Context) (udpsocket.Buffers, error) { return udpsocket.WantedBuffers, nil },
		LendFIB:    func(string, netip.Prefix) (int, func() error, error) { return 0, nil, errors.ErrUnsupported },
		Means:      func() []routing.Mean { return []routing.Mean{{Name: "pf", Found: "on"}} },
		Transports: func() []transport.Transport { return nil },
		Writable: func(dir string) error {
			if dir == "/" || dir == "/run" || d.readOnly[dir] {
				if d.readOnly[dir] {
					return syscall.EROFS
				}
				return nil
			}
			return &os.PathError{Op: "open", Path: dir, Err: syscall.ENOENT}
		},
		Runs: func(string) bool { return false },
		Free: func(string) error { return nil },
		Try:  func(routing.Spec) ([]routing.Step, []string, error) { return make([]routing.Step, 3), nil, nil },
	}
	return d
}

func (d *double) flow(proto byte, to netip.AddrPort) *flow {
	from := netip.AddrPortFrom(to.Addr().Prev(), 40000)
	return &flow{d, proto, from, to, make(chan struct{}), sync.Once{}}
}

// flow is a socket whose kernel puts what it sends into the TUN, and gives it what
// comes from there.
type flow struct {
	*double
	proto    byte
	from, to netip.AddrPort
	closed   chan struct{}
	once     sync.Once
}

func (f *flow) Local() netip.AddrPort  { return f.from }
func (f *flow) Remote() netip.AddrPort { return f.to }
func (f *flow) Close() error           { f.once.Do(func() { close(f.closed) }); return nil }

func (f *flow) Send(ms []transport.Message) (int, error) {
	p := ipPacket(f.proto, f.from, f.to, ms[0].Buf)
	if len(p) > tunMTU && !f.pieces {
		return len(ms), &transport.RefusedError{Err: syscall.EMSGSIZE}
	}
	if !f.silent {
		f.tun.Inject(make([]byte, 40), p) // and what is none of ours
	}
	return len(ms), nil
}

func (f *flow) Receive(ms []transport.Message) (int, error) {
	for {
		select {
		case <-f.closed:
			return 0, transport.ErrClosed
		default:
		}
		p, ok := f.tun.Next(10 * time.Millisecond)
		if !ok {
			continue
		}
		payload, is := payloadOf(p, f.proto, f.to, f.from)
		if is {
			ms[0].N = copy(ms[0].Buf, payload)
			return 1, nil
		}
	}
}

// ipPacket is a packet with the checksums left out.
func ipPacket(proto byte, from, to netip.AddrPort, payload []byte) []byte {
	if proto == protoUDP {
		head := binary.BigEndian.AppendUint16(nil, from.Port())
		head = binary.BigEndian.AppendUint16(head, to.Port())
		head = binary.BigEndian.AppendUint16(head, uint16(8+len(payload)))
		payload = append(append(head, 0, 0), payload...)
	}
	var p []byte
	if from.Addr().Is4() {
		p = make([]byte, 20)
		p[0], p[8], p[9] = 0x45, 64, proto
		binary.BigEndian.PutUint16(p[2:], uint16(20+len(payload)))
		copy(p[12:], from.Addr().AsSlice())
		copy(p[16:], to.Addr().AsSlice())
	} else {
		p = make([]byte, 40)
		p[0], p[6], p[7] = 0x60, proto, 64
		binary.BigEndian.PutUint16(p[4:], uint16(len(payload)))
		copy(p[8:], from.Addr().AsSlice())
		copy(p[24:], to.Addr().AsSlice())
	}
	return append(p, payload...)
}

// payloadOf takes a packet apart that is from one address and port to another.
func payloadOf(p []byte, proto byte, from, to netip.AddrPort) ([]byte, bool) {
	head := len(ipPacket(proto, from, to, nil))
	if len(p) < head || string(p) != string(ipPacket(proto, from, to, p[head:])) {
		return nil, false
	}
	return p[head:], true
}
