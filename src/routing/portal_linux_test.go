package routing

import (
	"errors"
	"net"
	"os"
	"strings"
	"syscall"
	"testing"
	"time"

	"golang.org/x/sys/unix"

	"netcombiner/src/config"
)

func TestPortal(t *testing.T) {
	l := newLab(t)
	l.tunnel()
	l.holdPublic()
	l.serve(l.client, "client", "::", 80)
	l.serve(l.client, "client", "::", port)
	l.serve(l.client, "client", "::", 22)
	l.serve(l.remote, "remote", "::", 22)
	l.serve(l.remote, "remote", "::", 80)
	l.serve(l.remote, "remote", "::", port)
	l.serve(l.server, "server", "::", 80)

	beforeLocal, beforeRemote := state(t, l.local), state(t, l.remote)
	l.expect(l.server, publicV4, 80, "", "remote "+serverV4)
	remote := l.apply(l.remote, l.spec(l.remote, config.RoutingPortal))
	local := l.apply(l.local, l.spec(l.local, config.RoutingPortal))

	// Everything for the public address reaches the client, from the true source…
	l.expect(l.server, publicV4, 80, "", "client "+serverV4)
	l.expect(l.server, publicV6, 80, "", "client "+serverV6)
	l.server.Run("ping -c1 -W3 "+publicV4, "ping -c1 -W3 "+publicV6)
	// … but for SSH and the tunnel's own port, each on its own protocol.
	for address, from := range map[string]string{publicV4: serverV4, publicV6: serverV6} {
		for _, c := range []struct {
			network string
			port    int
			want    string
		}{{"tcp", 22, "remote "}, {"udp", 22, "client "}, {"udp", port, "remote "}, {"tcp", port, "client "}} {
			if got := l.ask(l.server, c.network, address, c.port, ""); got != c.want+from {
				t.Errorf("%s to %s port %d: %q, want %q", c.network, address, c.port, got, c.want+from)
			}
		}
	}
	// The client is the public address for the rest of the world.
	l.expect(l.client, serverV4, 80, "", "server "+publicV4)
	l.expect(l.client, serverV6, 80, "", "server "+publicV6)
	// The remote's own connections are answered.
	l.expect(l.remote, serverV4, 80, "", "server "+publicV4)
	l.expect(l.remote, serverV6, 80, "", "server "+publicV6)
	// The local portal itself stays on its WAN, and reaches the client.
	l.expect(l.local, serverV4, 80, "", "server "+wan1V4)
	l.expect(l.local, publicV4, 80, "", "client 172.19.152.3")
	l.checkTooBig()
	l.checkReject()
	l.leaked.Store(0)
	l.checkPaths()
	l.checkNeighbours()

	l.undo(l.local, local)
	l.undo(l.remote, remote)
	l.unchanged(l.local, beforeLocal)
	l.unchanged(l.remote, beforeRemote)
	l.expect(l.server, publicV4, 80, "", "remote "+serverV4)
}

// checkTooBig sends the client a packet that does not fit in the tunnel: the
// remote says so, and by that does not take the flow for one of its own.
func (l *lab) checkTooBig() {
	l.t.Helper()
	var conn net.Conn
	l.server.Do(func() {
		dialer := net.Dialer{Control: func(_, _ string, raw syscall.RawConn) error {
			var err error
			raw.Control(func(fd uintptr) {
				err = unix.SetsockoptInt(int(fd), unix.IPPROTO_IP, unix.IP_MTU_DISCOVER, unix.IP_PMTUDISC_DO)
			})
			return err
		}}
		var err error
		if conn, err = dialer.Dial("udp4", net.JoinHostPort(publicV4, "80")); err != nil {
			l.t.Fatal(err)
		}
	})
	defer conn.Close()
	conn.SetDeadline(time.Now().Add(5 * time.Second))
	ask := func(when string) {
		l.t.Helper()
		var err error
		for range 100 { // an error of an earlier packet is reported once
			if _, err = conn.Write([]byte("?")); err == nil {
				break
			}
		}
		answer := make([]byte, 100)
		n, err := conn.Read(answer)
		if string(answer[:n]) != "client "+serverV4+"\n" {
			l.t.Errorf("%s a packet that was too long: %q, %v", when, answer[:n], err)
		}
	}
	ask("before")
	var err error
	for !errors.Is(err, unix.EMSGSIZE) {
		if errors.Is(err, os.ErrDeadlineExceeded) {
			l.t.Errorf("nobody said that a packet of 1478 bytes is too long: %v", err)
			return
		}
		_, err = conn.Write(make([]byte, 1450))
		time.Sleep(time.Millisecond)
	}
	ask("after")
}

// checkReject lets the remote's own firewall refuse what is for the client: it
// is heard.
func (l *lab) checkReject() {
	l.t.Helper()
	l.remote.Run("nft add table inet fw", "nft add chain inet fw forward { type filter hook forward priority 0 ; }",
		"nft add rule inet fw forward tcp dport 82 reject with tcp reset", "nft add rule inet fw forward udp dport 82 reject")
	for _, address := range []string{publicV4, publicV6} {
		for _, network := range []string{"tcp", "udp"} {
			if got := l.ask(l.server, network, address, 82, ""); !strings.Contains(got, "refused") {
				l.t.Errorf("%s to %s, which the host's firewall refuses: %q", network, address, got)
			}
		}
	}
	l.remote.Run("nft delete table inet fw")
}

// checkNeighbours makes the remote's provider forget, and then doubt, where
// the public addresses are.
func (l *lab) checkNeighbours() {
	l.t.Helper()
	l.internet.Run("ip neigh flush dev vps")
	l.expect(l.server, publicV4, 80, "", "client "+serverV4)
	l.expect(l.server, publicV6, 80, "", "client "+serverV6)
	for _, address := range []string{publicV4, publicV6} {
		mac := ""
		fields := strings.Fields(l.internet.Run("ip neigh show " + address + " dev vps"))
		for i, field := range fields {
			if field == "lladdr" {
				mac = fields[i+1]
			}
		}
		if mac == "" {
			l.t.Errorf("no neighbour %s: %v", address, fields)
			continue
		}
		l.internet.Run("ip neigh replace " + address + " lladdr " + mac + " dev vps nud probe")
		reached := func() bool {
			return strings.Contains(l.internet.Run("ip neigh show "+address+" dev vps"), "REACHABLE")
		}
		for deadline := time.Now().Add(8 * time.Second); !reached() && time.Now().Before(deadline); {
			time.Sleep(20 * time.Millisecond)
		}
		if !reached() {
			l.t.Errorf("a neighbour's doubt about %s is not answered: %s", address, l.internet.Run("ip neigh show dev vps"))
		}
	}
}
