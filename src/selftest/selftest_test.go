package selftest

import (
	"context"
	"errors"
	"fmt"
	"net/netip"
	"os"
	"slices"
	"strings"
	"syscall"
	"testing"
	"testing/synctest"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/linkwatch"
	"netcombiner/src/routing"
	"netcombiner/src/transport"
	"netcombiner/src/transport/tcp"
	"netcombiner/src/transport/udp"
	"netcombiner/src/tundevice"
	"netcombiner/src/udpsocket"
)

// ask runs a selftest in virtual time and returns its lines.
func (d *double) ask(t *testing.T, tunnel *Tunnel) (lines []string, good bool, took time.Duration) {
	t.Helper()
	synctest.Test(t, func(t *testing.T) {
		began := time.Now()
		good = d.Run(t.Context(), tunnel, func(v Verdict) { lines = append(lines, v.String()) })
		took = time.Since(began)
	})
	if d.made != 0 {
		t.Errorf("%d things that were made are left", d.made)
	}
	return lines, good, took
}

func parse(t *testing.T, text string) *Tunnel {
	t.Helper()
	c, err := config.Parse("nc0.conf", strings.NewReader(strings.ReplaceAll(text, "KEY", config.GenerateKey().Base64())))
	if err != nil {
		t.Fatal(err)
	}
	return &Tunnel{"nc0", c}
}

const (
	home = "[Interface]\nRole = local\nKey = KEY\nAddress = 172.19.152.3/31\nRouting = nat\n[Path]\nName = dsl\nBind = eth1\nRemote = 203.0.113.7:4725\n"
	vps  = "[Interface]\nRole = remote\nKey = KEY\nAddress = 172.19.152.2/31\n[Listen]\nAddress = [::]:4725\n"
)

func TestAllIsWell(t *testing.T) {
	lines, good, took := newDouble(t).ask(t, nil)
	want := []string{
		"ok       run folder (sockets): /run/nc can be written to",
		"ok       state folder (quotas): /state/nc can be written to",
		"ok       config folder (init): /etc/nc can be written to",
		"ok       TUN: nc-selftest made, addressed, up",
		"ok       packet through the TUN: out and back",
		"ok       IPv6: out and back",
		"ok       DF: a packet that is too long is refused, not sent in pieces",
		"ok       raw sockets (Transport = ip): out and back",
		"ok       egress: a packet left by the interface that its socket was bound to",
		"ok       route events: the kernel told of the new address",
		"ok       socket buffers: 4096 of 4096 KiB to receive, 1024 of 1024 to send",
		"ok       pf: on",
	}
	if !slices.Equal(lines, want) || !good || took > time.Second {
		t.Errorf("good: %v, after %v:\n%s", good, took, strings.Join(lines, "\n"))
	}
}

// What a host may lack: the line for it, and whether a plain tunnel, or the one of a
// configuration, can do without.
func TestWhatIsMissing(t *testing.T) {
	for _, tc := range []struct {
		what   string
		spoil  func(d *double)
		tunnel string
		line   string // how it begins
		end    string // and ends
		good   bool
	}{
		{what: "no privilege", spoil: func(d *double) {
			d.CreateTUN = func(string, int) (tundevice.Device, error) {
				return nil, fmt.Errorf("no privilege to create interface: run as root: %w", syscall.EPERM)
			}
		}, line: "failed   TUN: no privilege"},
		{what: "no privilege: the rest", spoil: func(d *double) {
			d.CreateTUN = func(string, int) (tundevice.Device, error) { return nil, syscall.EPERM }
		}, line: "untried  packets, IPv6, DF,"},
		{what: "no module", spoil: func(d *double) {
			d.CreateTUN = func(string, int) (tundevice.Device, error) {
				return nil, fmt.Errorf("/dev/net/tun is not there: load the tun module: %w", syscall.ENOENT)
			}
		}, line: "missing  TUN: /dev/net/tun is not there"},
		{what: "name taken", spoil: func(d *double) {
			d.CreateTUN = func(string, int) (tundevice.Device, error) {
				return nil, fmt.Errorf("interface nc-selftest exists and is not a TUN: %w", syscall.EEXIST)
			}
		}, line: "failed   TUN: interface nc-selftest exists"},
		{what: "no addresses", spoil: func(d *double) {
			d.Configure = func(string, ...netip.Prefix) (func() error, error) { return nil, syscall.ENOBUFS }
		}, line: "failed   TUN: no buffer space"},
		{what: "a firewall", spoil: func(d *double) { d.silent = true }, line: "failed   packet through the TUN: a packet from 192.0.2.116:40000 to 192.0.2.117:9 was sent, and nothing came back in 2s",
			end: "; do: look for a firewall that drops what leaves by new interfaces or comes in there"},
		{what: "IPv6 off", spoil: noIPv6, line: "missing  IPv6: IPv6 is off on this host", good: true},
		{what: "IPv6 off, but configured", spoil: noIPv6, tunnel: strings.Replace(home, "3/31", "3/31, fd19:152::3/127", 1), line: "missing  IPv6: IPv6 is off on this host"},
		{what: "fragments", spoil: func(d *double) { d.pieces = true }, line: "failed   DF: a packet that is too long left in pieces"},
		{what: "no raw sockets", spoil: noRaw, line: "missing  raw sockets (Transport = ip): raw IP needs root", good: true},
		{what: "no raw sockets, but configured", spoil: noRaw, tunnel: strings.Replace(vps, "[::]:4725", "::\nTransport = ip", 1), line: "missing  raw sockets (Transport = ip): raw IP needs root"},
		{what: "one FIB", spoil: func(d *double) {
			d.LendFIB = func(string, netip.Prefix) (int, func() error, error) { return 0, nil, errors.New("net.fibs = 1") }
		}, tunnel: home, line: "missing  egress: net.fibs = 1", good: true}, // pf may do it; the routing tells
		{what: "not bound", spoil: func(d *double) {
			dial := d.Dial
			d.Dial = func(ctx context.Context, bind transport.Bind, to netip.AddrPort, fib udpsocket.FIB) (transport.Flow, error) {
				if bind.Device == Name {
					return nil, syscall.EPERM
				}
				return dial(ctx, bind, to, fib)
			}
		}, tunnel: home, line: "failed   egress: operation not permitted"},
		{what: "deaf", spoil: func(d *double) {
			d.Watch = func(context.Context) (<-chan linkwatch.Event, error) { return nil, errors.ErrUnsupported }
		}, line: "failed   route events: unsupported operation; do: nothing", good: true},
		{what: "no event", spoil: func(d *double) { d.told = d.told[:1] }, line: "failed   route events: the kernel told nothing of nc-selftest", good: true},
		{what: "no events any more", spoil: func(d *double) { d.told = nil }, line: "failed   route events: the kernel told nothing", good: true},
		{what: "small buffers", spoil: func(d *double) {
			d.Buffers = func(context.Context) (udpsocket.Buffers, error) {
				return udpsocket.Buffers{Receive: 212992, Send: 212992}, nil
			}
		}, line: "missing  socket buffers: 208 of 4096 KiB to receive, 208 of 1024 to send: a fast link loses packets in bursts; do: sysctl ", good: true},
		{what: "no sockets", spoil: func(d *double) {
			d.Buffers = func(context.Context) (udpsocket.Buffers, error) { return udpsocket.Buffers{}, syscall.EMFILE }
		}, line: "failed   socket buffers: too many open files"},
		{what: "no pf", spoil: func(d *double) {
			d.Means = func() []routing.Mean {
				return []routing.Mean{{Name: "pf", Missing: fmt.Errorf("pfctl is not here: %w", os.ErrNotExist)}}
			}
		}, line: "missing  pf: pfctl is not here", good: true},
		{what: "a tool of many words", spoil: func(d *double) {
			d.Means = func() []routing.Mean {
				return []routing.Mean{{Name: "nft", Missing: errors.New("Operation not permitted\ncache initialization failed")}}
			}
		}, line: "missing  nft: Operation not permitted; cache initialization failed", good: true},
		{what: "state folder read-only", spoil: func(d *double) { d.readOnly["/state/nc"] = true },
			line: "failed   state folder (quotas): read-only file system; do: make /state/nc writable, by root, or set NETCOMBINER_STATE_DIR", good: true},
		{what: "state folder read-only, and quotas", spoil: func(d *double) { d.readOnly["/state/nc"] = true }, tunnel: home + "Quota = 5GB\n",
			line: "failed   state folder (quotas): read-only file system"},
		{what: "what holds the run folder", spoil: func(d *double) { d.readOnly["/run"] = true }, line: "failed   run folder (sockets): read-only file system"},
		{what: "interface taken", spoil: func(d *double) { d.Free = func(string) error { return errors.New("nc0 exists, and is not ours") } }, tunnel: home,
			line: "failed   interface nc0: nc0 exists, and is not ours"},
		{what: "no such WAN", spoil: func(d *double) {
			dial := d.Dial
			d.Dial = func(ctx context.Context, bind transport.Bind, to netip.AddrPort, fib udpsocket.FIB) (transport.Flow, error) {
				if bind.Device == "eth1" {
					return nil, errors.New(`no interface "eth1" (yet)`)
				}
				return dial(ctx, bind, to, fib)
			}
		}, tunnel: home, line: `missing  path dsl: no interface "eth1" (yet); do: plug the link in, or correct Bind in [Path] dsl`},
		{what: "a WAN without a gateway", spoil: func(d *double) {
			d.Try = func(routing.Spec) ([]routing.Step, []string, error) {
				return nil, []string{"interface eth1 has no gateway: give Gateway = in [Path] dsl"}, nil
			}
		}, tunnel: home, line: "missing  routing: interface eth1 has no gateway"},
		{what: "Egress = fib and one FIB", spoil: func(d *double) {
			d.Try = func(routing.Spec) ([]routing.Step, []string, error) {
				return nil, nil, errors.New("Egress = fib: one FIB")
			}
		}, tunnel: home, line: "failed   routing: Egress = fib: one FIB"},
		{what: "port taken", spoil: func(d *double) {
			d.Transports = func() []transport.Transport { return []transport.Transport{taken{}} }
		}, tunnel: vps, line: "failed   [Listen] udp: UDP port 4725 is in use"},
	} {
		t.Run(tc.what, func(t *testing.T) {
			d := newDouble(t)
			tc.spoil(d)
			var tunnel *Tunnel
			if tc.tunnel != "" {
				tunnel = parse(t, tc.tunnel)
			}
			lines, good, took := d.ask(t, tunnel)
			if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, tc.line) && strings.HasSuffix(l, tc.end) }) || good != tc.good || took > Bound {
				t.Errorf("good: %v, after %v:\n%s", good, took, strings.Join(lines, "\n"))
			}
		})
	}
}

func noIPv6(d *double) {
	d.Configure = func(_ string, addrs ...netip.Prefix) (func() error, error) {
		if addrs[0].Addr().Is6() {
			return nil, fmt.Errorf("IPv6 is off on this host: %w", syscall.EACCES)
		}
		return d.make()
	}
}

func noRaw(d *double) {
	d.DialRaw = func(context.Context, netip.Addr) (transport.Flow, error) {
		return nil, fmt.Errorf("%w", udpsocket.ErrNotAllowed)
	}
}

// taken is a transport whose ports are all somebody else's.
type taken struct{ udp.Transport }

func (taken) Listen(context.Context, netip.AddrPort) (transport.Listener, error) {
	return nil, errors.New("UDP port 4725 is in use by another program")
}

// On FreeBSD a socket is in the FIB that was lent, which is given back.
func TestEgressByFIB(t *testing.T) {
	d := newDouble(t)
	d.LendFIB = func(device string, to netip.Prefix) (int, func() error, error) {
		if device != Name || !to.Contains(netip.MustParseAddr("192.0.2.117")) {
			t.Errorf("lent for %s, %v", device, to)
		}
		undo, err := d.make()
		return 2, undo, err
	}
	lines, good, _ := d.ask(t, nil)
	if !good || d.fib != 2 || !slices.Contains(lines, "ok       egress: a packet left by FIB 2 (setfib(2))") {
		t.Errorf("in FIB %d:\n%s", d.fib, strings.Join(lines, "\n"))
	}
}

// A tunnel that runs has its name, its ports and its routing itself.
func TestItRunsAlready(t *testing.T) {
	d := newDouble(t)
	d.Runs = func(iface string) bool { return iface == "nc0" }
	d.Free = func(string) error { return errors.New("taken") }
	d.Try = func(routing.Spec) ([]routing.Step, []string, error) { return nil, nil, errors.New("there already") }
	lines, good, _ := d.ask(t, parse(t, home))
	if last := lines[len(lines)-1]; !good || last != "ok       path dsl: would leave from 203.0.113.6" {
		t.Errorf("%v:\n%s", good, strings.Join(lines, "\n"))
	}
	if !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, "ok       interface nc0: its tunnel runs") }) {
		t.Errorf("%s", strings.Join(lines, "\n"))
	}
}

// What the host's subnets are in the way of is not taken.
func TestSubnets(t *testing.T) {
	for taken, want := range map[string]string{"": "192.0.2.116/31", "192.0.2.1/24": "198.51.100.116/31", "192.0.2.117/32": "198.51.100.116/31"} {
		var have []netip.Prefix
		if taken != "" {
			have = append(have, netip.MustParsePrefix(taken))
		}
		if got := free(subnets4, have); got.String() != want {
			t.Errorf("beside %q: %v, want %s", taken, got, want)
		}
	}
}

// A check that never ends does not keep the rest from being told, nor the person
// waiting.
func TestStuck(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(t)
		stuck := make(chan struct{})
		d.Means = func() []routing.Mean { <-stuck; return nil }
		began := time.Now()
		var last Verdict
		good := d.Run(t.Context(), nil, func(v Verdict) { last = v })
		if took := time.Since(began); good || took != Bound || last.Check != "time" || last.Result != Failed {
			t.Errorf("after %v: %v", took, last)
		}
		close(stuck)
		synctest.Wait()
	})
}

// Ctrl-C ends it once all is undone.
func TestInterrupted(t *testing.T) {
	synctest.Test(t, func(t *testing.T) {
		d := newDouble(t)
		d.silent = true
		ctx, cancel := context.WithCancel(t.Context())
		time.AfterFunc(100*time.Millisecond, cancel)
		began := time.Now()
		d.Run(ctx, nil, func(Verdict) {})
		if took := time.Since(began); took > patience+time.Second || d.made != 0 {
			t.Errorf("after %v, with %d things left", took, d.made)
		}
	})
}

// What cannot be undone is told.
func TestNotUndone(t *testing.T) {
	d := newDouble(t)
	d.Configure = func(string, ...netip.Prefix) (func() error, error) {
		return func() error { return errors.New("it stays") }, nil
	}
	lines, good, _ := d.ask(t, nil)
	if !good || !slices.Contains(lines, "failed   undoing: it stays") {
		t.Errorf("%v:\n%s", good, strings.Join(lines, "\n"))
	}
}

// Two real portals over the real loopback interface.
func TestPortals(t *testing.T) {
	d := newDouble(t)
	d.Transports = func() []transport.Transport { return []transport.Transport{udp.Transport{}, tcp.Transport{}} }
	var lines []string
	if !d.Run(t.Context(), nil, func(v Verdict) { lines = append(lines, v.String()) }) {
		t.Error(strings.Join(lines, "\n"))
	}
	for _, name := range []string{"udp", "tcp"} {
		if want := "ok       two portals over " + name + ": handshake, and a packet each way"; !slices.Contains(lines, want) {
			t.Errorf("no line %q in\n%s", want, strings.Join(lines, "\n"))
		}
	}
}

func TestNoLoopback(t *testing.T) {
	d := newDouble(t)
	d.Transports = func() []transport.Transport { return []transport.Transport{taken{}} }
	lines, good, _ := d.ask(t, nil)
	want := "failed   two portals over udp: UDP port 4725 is in use by another program; do: see that the loopback interface is up"
	if good || !slices.ContainsFunc(lines, func(l string) bool { return strings.HasPrefix(l, want) }) {
		t.Errorf("%v:\n%s", good, strings.Join(lines, "\n"))
	}
}

// An answer is its question turned round, with checksums that are right again; and
// nothing else is answered.
func TestTurn(t *testing.T) {
	a4, b4 := netip.MustParseAddrPort("192.0.2.116:40000"), netip.MustParseAddrPort("192.0.2.117:9")
	a6, b6 := netip.MustParseAddrPort("[2001:db8::1]:40000"), netip.MustParseAddrPort("[2001:db8::2]:9")
	for _, proto := range []byte{protoUDP, protocol} {
		for _, ends := range [][2]netip.AddrPort{{a4, b4}, {a6, b6}} {
			p := ipPacket(proto, ends[0], ends[1], []byte("hello"))
			if before := sum(p); !turn(p) || sum(p) != before {
				t.Errorf("%d, %v: not answered, or another sum", proto, ends)
			}
			if got, ok := payloadOf(p, proto, ends[1], ends[0]); !ok || string(got) != "hello" {
				t.Errorf("%d, %v: % x", proto, ends, p)
			}
		}
	}
	for what, p := range map[string][]byte{
		"nothing": nil, "zeros": make([]byte, 60), "TCP": ipPacket(6, a4, b4, make([]byte, 20)),
		"UDP cut short": ipPacket(protoUDP, a4, b4, nil)[:24],
	} {
		if turn(p) {
			t.Errorf("%s was answered", what)
		}
	}
}

// sum is what checksums are made of.
func sum(p []byte) (total int) {
	for i, b := range p {
		total += int(b) << (8 * (1 - i%2))
	}
	return total
}

func FuzzTurn(f *testing.F) {
	a, b := netip.MustParseAddrPort("192.0.2.116:40000"), netip.MustParseAddrPort("192.0.2.117:9")
	f.Add(ipPacket(protoUDP, a, b, nil))
	f.Add(ipPacket(protocol, a, b, []byte{1}))
	f.Fuzz(func(t *testing.T, p []byte) {
		before := sum(p)
		again := slices.Clone(p)
		if answered := turn(p); answered && (sum(p) != before || !turn(p)) || !slices.Equal(p, again) {
			t.Errorf("% x became % x", again, p)
		}
	})
}
