package routing

import (
	"fmt"
	"io"
	"net"
	"slices"
	"testing"
	"time"

	"netcombiner/src/config"
	"netcombiner/src/routing/nstest"
)

func TestCleanupAfterKill(t *testing.T) {
	for _, mode := range []config.Routing{config.RoutingNAT, config.RoutingPortal} {
		t.Run(string(mode), func(t *testing.T) {
			l := newLab(t)
			for _, ns := range []*nstest.NS{l.local, l.remote} {
				before := state(t, ns)
				l.killed(ns, mode)
				if after := state(t, ns); fmt.Sprint(after["ip -d rule"]) == fmt.Sprint(before["ip -d rule"]) && fmt.Sprint(after["nft list ruleset"]) == fmt.Sprint(before["nft list ruleset"]) {
					t.Error("the killed process left nothing: the test shows nothing")
				}
				ns.Do(func() {
					for round := range 2 {
						undone, err := Cleanup(l.dir[ns], "nc0")
						if err != nil {
							t.Errorf("Cleanup: %v", err)
						}
						if told := slices.Contains(undone, "sysctl -w net/ipv4/conf/nc0/forwarding=0"); told != (round == 0) || round == 1 && len(undone) > 0 {
							t.Errorf("round %d undid %q", round, undone)
						}
					}
				})
				l.unchanged(ns, before)
			}
		})
	}
}

// A connection through the remote portal goes on after that was killed and
// started again, though the server sent something in between.
func TestConnectionOutlivesKill(t *testing.T) {
	l := newLab(t)
	l.tunnel()
	remote, local := l.spec(l.remote, config.RoutingNAT), l.spec(l.local, config.RoutingNAT)
	l.apply(l.local, local)
	l.apply(l.remote, remote) // and forgotten, as by a process that is killed

	var listener net.Listener
	var client, server net.Conn
	var err error
	l.server.Do(func() { listener, err = net.Listen("tcp", net.JoinHostPort(serverV4, "80")) })
	if err != nil {
		t.Fatal(err)
	}
	defer listener.Close()
	l.local.Do(func() { client, err = net.DialTimeout("tcp", listener.Addr().String(), 3*time.Second) })
	if err != nil {
		t.Fatal(err)
	}
	defer client.Close()
	if server, err = listener.Accept(); err != nil {
		t.Fatal(err)
	}
	defer server.Close()

	l.remote.Do(func() {
		if kept, err := Inherit(l.dir[l.remote], "nc0"); err != nil || !kept {
			t.Fatalf("Inherit: kept %v, %v", kept, err)
		}
	})
	const said = "in between"
	if _, err := server.Write([]byte(said)); err != nil {
		t.Fatal(err)
	}
	time.Sleep(50 * time.Millisecond) // a reset would have come
	l.apply(l.remote, remote)
	for _, way := range [][2]net.Conn{{server, client}, {client, server}} {
		if way[0] == client {
			if _, err := client.Write([]byte(said)); err != nil {
				t.Fatal(err)
			}
		}
		way[1].SetReadDeadline(time.Now().Add(5 * time.Second))
		buf := make([]byte, len(said))
		if _, err := io.ReadFull(way[1], buf); err != nil || string(buf) != said {
			t.Errorf("from %v: %q, %v", way[0].LocalAddr(), buf, err)
		}
	}
}

// What the client has under way goes on after the remote portal was killed, or
// stopped, and started again, though servers sent on in between: the host may
// take none of it for its own, nor refuse it where its ruleset is still there.
func TestClientOutlivesRestart(t *testing.T) {
	for _, killed := range []bool{true, false} {
		t.Run(map[bool]string{true: "killed", false: "stopped"}[killed], func(t *testing.T) {
			l := newLab(t)
			l.tunnel()
			l.holdPublic()
			l.serve(l.client, "client", "::", 80)
			spec := l.spec(l.remote, config.RoutingPortal)
			l.apply(l.local, l.spec(l.local, config.RoutingPortal))
			remote := l.apply(l.remote, spec)

			families := map[string]string{publicV4: serverV4, publicV6: serverV6}
			var calls []*call
			for public, from := range families {
				calls = append(calls, l.call(public, "client "+from))
			}
			for _, c := range calls {
				c.expect("before")
			}
			client, server := l.connection(publicV4, 81)
			ping := func(public string) error {
				_, err := l.server.Try("ping -c1 -W1 -e 4725 " + public)
				return err
			}
			for public := range families {
				if err := ping(public); err != nil {
					t.Fatalf("ping %s: %v", public, err)
				}
			}

			if !killed {
				l.undo(l.remote, remote)
			}
			l.end[l.remote].Load().Close()
			if killed {
				for public := range families {
					if ping(public) == nil {
						t.Errorf("the host answers for the client's %s", public)
					}
				}
				if _, err := server.Write([]byte("?")); err != nil {
					t.Error(err)
				}
			}
			for public, from := range families { // new ones
				calls = append(calls, l.call(public, "client "+from))
			}
			time.Sleep(50 * time.Millisecond)
			l.remote.Do(func() {
				if kept, err := Inherit(l.dir[l.remote], "nc0"); err != nil || kept != killed {
					t.Fatalf("Inherit: kept %v, %v", kept, err)
				}
			})
			l.open(l.remote)
			l.apply(l.remote, spec)

			for i, c := range calls {
				c.expect("after")
				if n := c.refused.Load(); n > 0 && killed && i < len(families) {
					t.Errorf("the host refused %d packets to the client", n)
				}
				c.hangUp()
			}
			if !killed {
				return // the host was on its own for a while, and may have refused the rest
			}
			client.SetReadDeadline(time.Now().Add(5 * time.Second))
			if _, err := io.ReadFull(client, make([]byte, 1)); err != nil {
				t.Errorf("a connection to the client: %v", err)
			}
			for public := range families {
				crossed := l.crossed.Load()
				if err := ping(public); err != nil || l.crossed.Load() == crossed {
					t.Errorf("ping %s: %v, %d packets through the tunnel", public, err, l.crossed.Load()-crossed)
				}
			}
		})
	}
}
