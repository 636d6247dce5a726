package routing

import (
	"bufio"
	"fmt"
	"io/fs"
	"net/netip"
	"os"
	"os/exec"
	"path/filepath"
	"sort"
	"strings"
	"sync/atomic"
	"testing"
	"time"

	"github.com/google/go-cmp/cmp"
	"golang.org/x/sys/unix"

	"netcombiner/src/config"
	"netcombiner/src/routing/nstest"
	"netcombiner/src/tundevice"
)

// lab is a client, a local portal with two WANs, a remote portal with a single
// interface, and a server, joined by an Internet that routes between them all.
// Reverse path filters are strict everywhere. The tunnel is a pair of TUNs, and
// a goroutine that carries packets between them.
type lab struct {
	t                                       *testing.T
	client, local, internet, remote, server *nstest.NS
	dir                                     map[*nstest.NS]string // of journals
	crossed                                 atomic.Int64          // packets through the tunnel
	leaked                                  atomic.Int64          // of those, the portal's own
	end                                     map[*nstest.NS]*atomic.Pointer[tundevice.TUN]
}

// Addresses in the lab; the v6 ones are made of the last byte of each network.
const (
	publicV4, publicV6 = "203.0.113.2", "2001:db8:3::2"
	wan1V4, wan1V6     = "192.0.2.2", "2001:db8:1::2"
	wan2V4, wan2V6     = "198.51.100.2", "2001:db8:2::2"
	serverV4, serverV6 = "100.64.9.2", "2001:db8:9::2"
	lanV4, lanV6       = "10.7.0.2", "fd07::2"
	port               = 4725
)

func newLab(t *testing.T) *lab {
	t.Helper()
	l := &lab{t: t,
		client: nstest.New(t, "client"), local: nstest.New(t, "local"), internet: nstest.New(t, "internet"),
		remote: nstest.New(t, "remote"), server: nstest.New(t, "server"), dir: map[*nstest.NS]string{}}
	for _, ns := range []*nstest.NS{l.client, l.local, l.internet, l.remote, l.server} {
		ns.Run("sysctl -qw net.ipv4.conf.all.rp_filter=1 net.ipv4.conf.default.rp_filter=1 net.ipv6.conf.default.accept_dad=0 net.ipv6.conf.all.accept_dad=0")
		l.dir[ns] = t.TempDir()
	}
	l.internet.Run("sysctl -qw net.ipv4.ip_forward=1 net.ipv6.conf.all.forwarding=1")
	wire := func(ns *nstest.NS, device, far, v4, v6 string) {
		nstest.Join(ns, device, l.internet, far)
		gateway4, gateway6 := v4[:strings.LastIndex(v4, ".")]+".1", strings.TrimSuffix(v6, "2")+"1"
		l.internet.Run("ip addr add "+gateway4+"/24 dev "+far, "ip addr add "+gateway6+"/64 dev "+far+" nodad")
		ns.Run("ip addr add "+v4+"/24 dev "+device, "ip addr add "+v6+"/64 dev "+device+" nodad")
		metric := " metric 10"
		if device == "eth2" {
			metric = " metric 20"
		}
		ns.Run("ip route add default via "+gateway4+" dev "+device+metric, "ip -6 route add default via "+gateway6+" dev "+device+metric)
	}
	wire(l.local, "eth1", "wan1", wan1V4, wan1V6)
	wire(l.local, "eth2", "wan2", wan2V4, wan2V6)
	wire(l.remote, "eth0", "vps", publicV4, publicV6)
	wire(l.server, "eth0", "server", serverV4, serverV6)
	nstest.Join(l.local, "lan0", l.client, "eth0")
	for _, device := range []string{"eth1", "eth2", "lan0"} {
		l.settle(l.local, device)
	}
	l.settle(l.remote, "eth0")
	return l
}

// settle waits until the kernel has given a device what it gives by itself
// once it has seen the carrier.
func (l *lab) settle(ns *nstest.NS, device string) {
	l.t.Helper()
	for deadline := time.Now().Add(20 * time.Second); ; {
		addrs := ns.Run("ip -6 addr show scope link dev " + device)
		routes := ns.Run("ip -6 route show table all dev " + device)
		if strings.Contains(addrs, "fe80") && !strings.Contains(addrs, "tentative") && strings.Count(routes, "fe80") >= 2 && strings.Contains(routes, "ff00::/8") {
			return
		}
		if time.Now().After(deadline) {
			l.t.Fatalf("%s has no link-local address: %s", device, addrs)
		}
		time.Sleep(5 * time.Millisecond)
	}
}

func (l *lab) spec(ns *nstest.NS, mode config.Routing) Spec {
	s := Spec{Interface: "nc0", Mode: mode, Role: config.Local, Address: prefixes("172.19.152.3/31", "fd19:152::3/127")}
	if ns == l.remote {
		s.Role, s.Address = config.Remote, prefixes("172.19.152.2/31", "fd19:152::2/127")
		s.Listens = []Endpoint{{"udp", 0, netip.MustParseAddrPort("[::]:4725")}}
		s.KeepPorts = []uint16{22}
		return s
	}
	s.WANs = []WAN{{Device: "eth1"}, {Source: netip.MustParseAddr(wan2V4)}, {Device: "eth7"}}
	for _, addr := range []string{publicV4, publicV6} {
		s.Remotes = append(s.Remotes, Endpoint{"udp", 0, netip.AddrPortFrom(netip.MustParseAddr(addr), port)})
	}
	if mode == config.RoutingPortal {
		s.ClientInterface = "lan0"
	}
	return s
}

// tunnel makes nc0 on both portals and carries packets between them.
func (l *lab) tunnel() {
	l.t.Helper()
	l.end = map[*nstest.NS]*atomic.Pointer[tundevice.TUN]{l.local: {}, l.remote: {}}
	l.open(l.local)
	l.open(l.remote)
}

// open makes a portal's nc0, or makes it again after that was closed.
func (l *lab) open(ns *nstest.NS) {
	l.t.Helper()
	var dev *tundevice.TUN
	ns.Do(func() { dev = makeTunnel(l.t, l.spec(ns, config.RoutingNone).Address) })
	l.settle(ns, "nc0")
	l.end[ns].Store(dev)
	other := l.local
	if ns == l.local {
		other = l.remote
	}
	l.carry(dev, l.end[other])
}

func makeTunnel(t testing.TB, addrs []netip.Prefix) *tundevice.TUN {
	dev, err := tundevice.Create("nc0", tundevice.Options{MTU: 1400})
	if err == nil {
		_, err = tundevice.Configure("nc0", addrs, 1400)
	}
	if err != nil {
		t.Fatal(err)
	}
	return dev
}

func (l *lab) carry(from *tundevice.TUN, to *atomic.Pointer[tundevice.TUN]) {
	l.t.Cleanup(func() { from.Close() })
	go func() {
		bufs, sizes := make([][]byte, from.BatchSize()), make([]int, from.BatchSize())
		for i := range bufs {
			bufs[i] = make([]byte, tundevice.Headroom+1400)
		}
		for {
			n, err := from.Read(bufs, sizes, tundevice.Headroom)
			if err != nil {
				return
			}
			for i := range n {
				p := bufs[i][:tundevice.Headroom+sizes[i]]
				if inner := p[tundevice.Headroom:]; udpPort(inner) == port {
					l.leaked.Add(1)
				}
				l.crossed.Add(1)
				if dev := to.Load(); dev != nil {
					dev.Write([][]byte{p}, tundevice.Headroom)
				}
			}
		}
	}()
}

// udpPort returns the destination port of a UDP packet, or 0.
func udpPort(p []byte) int {
	header, proto := 20, p[9]
	if p[0]>>4 == 6 {
		header, proto = 40, p[6]
	}
	if proto != unix.IPPROTO_UDP || len(p) < header+8 {
		return 0
	}
	return int(p[header+2])<<8 | int(p[header+3])
}

func (l *lab) apply(ns *nstest.NS, spec Spec) *Routing {
	l.t.Helper()
	var r *Routing
	var err error
	ns.Do(func() { r, err = Apply(l.dir[ns], spec) })
	if err != nil {
		l.t.Fatalf("Apply: %v", err)
	}
	return r
}

func (l *lab) undo(ns *nstest.NS, r *Routing) {
	l.t.Helper()
	ns.Do(func() {
		if err := r.Undo(); err != nil {
			l.t.Errorf("Undo: %v", err)
		}
	})
}

// holdPublic gives the client the public addresses, as the package's
// documentation tells its owner.
func (l *lab) holdPublic() {
	l.t.Helper()
	l.client.Run("ip addr add "+publicV4+"/32 dev eth0", "ip route add 172.19.152.3 dev eth0", "ip route add default via 172.19.152.3",
		"ip addr add "+publicV6+"/128 dev eth0 nodad", "ip -6 route add fd19:152::3 dev eth0", "ip -6 route add default via fd19:152::3")
}

// state is everything that this package may change, as text.
func state(t *testing.T, ns *nstest.NS) map[string][]string {
	t.Helper()
	s := map[string][]string{}
	for _, command := range []string{"ip -d rule", "ip -6 -d rule", "ip -d route show table all", "ip -6 -d route show table all",
		"ip -d addr", "ip neigh show proxy", "ip -6 neigh show proxy", "nft list ruleset"} {
		lines := strings.Split(ns.Run(command), "\n")
		sort.Strings(lines)
		s[command] = lines
	}
	ns.Do(func() {
		for _, dir := range []string{"ipv4/conf", "ipv6/conf", "ipv4/neigh", "ipv6/neigh", "ipv4/ip_forward"} {
			filepath.WalkDir("/proc/sys/net/"+dir, func(path string, d fs.DirEntry, err error) error {
				if err == nil && !d.IsDir() {
					if value, err := os.ReadFile(path); err == nil {
						s["sysctl"] = append(s["sysctl"], path+" = "+strings.TrimSpace(string(value)))
					}
				}
				return nil
			})
		}
	})
	return s
}

func (l *lab) unchanged(ns *nstest.NS, before map[string][]string) {
	l.t.Helper()
	if diff := cmp.Diff(before, state(l.t, ns)); diff != "" {
		l.t.Errorf("not as it was:\n%s", diff)
	}
	if left, _ := os.ReadDir(l.dir[ns]); len(left) > 0 {
		l.t.Errorf("left in the directory of journals: %v", left)
	}
}

// killed makes a process create the tunnel in ns and apply the spec, kills it,
// and returns once it is gone.
func (l *lab) killed(ns *nstest.NS, mode config.Routing) {
	l.t.Helper()
	var cmd *exec.Cmd
	var out *bufio.Reader
	ns.Do(func() {
		cmd = exec.Command(os.Args[0], "-test.run=^TestMain$")
		cmd.Env = append(os.Environ(), "ROUTING_CHILD="+string(mode), "ROUTING_DIR="+l.dir[ns])
		if ns == l.remote {
			cmd.Env = append(cmd.Env, "ROUTING_REMOTE=1")
		}
		stdout, err := cmd.StdoutPipe()
		if err == nil {
			err = cmd.Start()
		}
		if err != nil {
			l.t.Fatal(err)
		}
		out = bufio.NewReader(stdout)
	})
	line, _ := out.ReadString('\n')
	cmd.Process.Kill()
	cmd.Wait()
	if line != "ready\n" {
		l.t.Fatalf("the child said %q", line)
	}
}

// child is the process that killed kills.
func child() {
	l := &lab{local: new(nstest.NS), remote: new(nstest.NS)}
	ns := l.local
	if os.Getenv("ROUTING_REMOTE") != "" {
		ns = l.remote
	}
	spec := l.spec(ns, config.Routing(os.Getenv("ROUTING_CHILD")))
	if os.Getenv("ROUTING_BYPASS") != "" {
		spec.Bypasses = []config.Bypass{
			{To: prefixes(serverV4+"/32", serverV6+"/128"), Device: "eth2", Block: true},
			{Set: config.NFTSet{Family: "inet", Table: "fw4", Name: "banks"}, Device: "eth1"},
		}
	}
	dev, err := tundevice.Create("nc0", tundevice.Options{MTU: 1400})
	if err == nil {
		_, err = tundevice.Configure("nc0", spec.Address, 1400)
	}
	if err == nil {
		_, err = Apply(os.Getenv("ROUTING_DIR"), spec)
	}
	if err != nil {
		fmt.Println(strings.ReplaceAll(err.Error(), "\n", "; "))
		os.Exit(1)
	}
	fmt.Println("ready")
	time.Sleep(time.Minute)
	dev.Close()
}

func TestMain(m *testing.M) {
	if os.Getenv("ROUTING_CHILD") != "" {
		child()
		return
	}
	os.Exit(m.Run())
}
