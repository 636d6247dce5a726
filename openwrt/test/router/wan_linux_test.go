package router

import (
	"bytes"
	"context"
	"fmt"
	"slices"
	"strings"
	"testing"
	"time"

	"netcombiner/src/testbed/lab"
	"netcombiner/src/testbed/link"
	"netcombiner/src/testbed/netns"
)

// A WAN that comes up on another device, and one whose path is changed, are taken
// over by the daemon that runs: on its TUN, and without loss on the other path.
// Scripts and daemon are the real ones, and the kernel is.
func TestTwoWANs(t *testing.T) {
	if testing.Short() {
		t.Skip("it takes six seconds")
	}
	if err := netns.Privileged(); err != nil {
		t.Skip(err)
	}
	shape := link.Shape{Rate: 20e6, Delay: 10 * time.Millisecond}
	l, err := lab.New(lab.Config{Links: []lab.LinkConfig{lab.Symmetric("dsl", shape), lab.Symmetric("lte", shape)}})
	if err != nil {
		t.Fatal(err)
	}
	defer l.Close()

	vps := fmt.Sprintf("[Interface]\nRole = remote\nKey = %s\nAddress = 172.19.152.2/31\n[Listen]\nAddress = 0.0.0.0:4725\n", key)
	r := newRouter(t)
	r.must(l.Remote.WriteFile("/run/nc0.conf", []byte(vps), 0o600))
	if _, err := l.Remote.Start(nil, bin+"/netcombiner", "-f", "--config", "/run/nc0.conf", "nc0"); err != nil {
		t.Fatal(err)
	}
	r.run = func(argv []string) (string, error) { return on(l.Local, argv...) }
	r.netifd("wan dsl 100", "wanb lte 101")
	r.uci(strings.ReplaceAll(home, "\tlist address fd19:152::3/127\n", ""))
	r.procd(l.Local)
	r.netifdSetup()
	r.await(2*time.Second, "dsl=up lte=up")
	index := r.index()

	ping := r.ping()
	r.uci(strings.Replace(r.read("config/netcombiner"), "option name lte", "option name lte\n\toption metric 7", 1))
	r.service("reload")
	r.await(time.Second, "dsl=up lte=standby")
	if loss := ping(); loss != 0 {
		t.Errorf("a change of a path lost %d packets", loss)
	}

	// The DSL is lost, and comes back as another device, as PPPoE does.
	ping = r.ping()
	r.netifd("wanb lte 101")
	_, err = on(l.Local, "ip", "link", "set", "dsl", "down")
	r.must(err)
	r.service("reload")
	r.await(time.Second, "dsl=down lte=up", "dsl=failed lte=up")
	for _, words := range []string{
		"link set dsl name ppp0", "link set ppp0 up", "route add default via 100.64.1.1 dev ppp0 metric 100",
	} {
		if out, err := on(l.Local, append([]string{"ip"}, strings.Fields(words)...)...); err != nil {
			t.Fatalf("ip %s: %s", words, out)
		}
	}
	r.netifd("wan ppp0 100", "wanb lte 101")
	r.service("reload")
	r.await(time.Second, "dsl=up lte=standby")
	if loss := ping(); loss > 3 {
		t.Errorf("a lost WAN lost %d packets", loss)
	}
	if at := r.index(); at != index {
		t.Errorf("the TUN's index was %s, is %s", index, at)
	}
	same(t, "problem", r.problem("nc0"), "")
	same(t, "paths", devices(r), "dsl ppp0, lte lte")
}

// on runs a command on a machine.
func on(n *netns.Namespace, argv ...string) (string, error) {
	var out bytes.Buffer
	cmd, err := n.Start(&out, argv...)
	if err == nil {
		done := time.AfterFunc(30*time.Second, func() { cmd.Process.Kill() })
		defer done.Stop()
		err = cmd.Wait()
	}
	return out.String(), err
}

// procd starts the service, and what it asks procd to.
func (r *router) procd(n *netns.Namespace) {
	r.t.Helper()
	argv := []string{"env", "NETCOMBINER_RUN_DIR=" + r.path("run")}
	for _, call := range r.service("start") {
		words := strings.Fields(call)
		if strings.HasPrefix(call, "procd_set_param env") {
			argv = append(argv, words[2:]...)
		}
	}
	for _, call := range with(instances(strings.Split(r.read("calls"), "\n")), "procd_set_param command") {
		argv = append(argv, strings.Fields(strings.Replace(call, "/usr/sbin", bin, 1))[2:]...)
	}
	var log bytes.Buffer
	cmd, err := n.Start(&log, argv...)
	r.must(err)
	r.t.Cleanup(func() {
		cmd.Wait()
		if r.t.Failed() {
			r.t.Logf("%v\n%s", argv, log.String())
		}
	})
}

// netifdSetup runs the protocol handler, and adds the route that it tells netifd.
func (r *router) netifdSetup() {
	r.t.Helper()
	calls := r.handler("setup", "REAL_TUN=1", "OPTION_tunnel=nc0")
	if len(with(calls, "proto_add_ipv4_route 0.0.0.0 0   1")) != 1 {
		r.t.Fatalf("no default route: %v", calls)
	}
	if out, err := r.run([]string{"ip", "route", "add", "default", "dev", "nc0", "metric", "1"}); err != nil {
		r.t.Fatal(out)
	}
}

// await waits until the paths' states are among these.
func (r *router) await(limit time.Duration, want ...string) {
	r.t.Helper()
	ctx, cancel := context.WithTimeout(r.t.Context(), limit)
	defer cancel()
	for {
		states := r.states()
		if slices.Contains(want, states) {
			return
		}
		select {
		case <-ctx.Done():
			r.t.Fatalf("after %v: %s, want %s", limit, states, want)
		case <-time.After(20 * time.Millisecond):
		}
	}
}

// states are those of the paths, "dsl=up lte=failed".
func (r *router) states() string {
	out, _ := r.run([]string{"env", "NETCOMBINER_RUN_DIR=" + r.path("run"), bin + "/netcombiner", "show", "nc0", "--metrics"})
	var all []string
	for _, path := range []string{"dsl", "lte"} {
		for _, state := range []string{"up", "standby", "connecting", "failed", "down"} {
			if strings.Contains(out, fmt.Sprintf(`path="%s",state="%s",transport="udp"} 1`, path, state)) {
				all = append(all, path+"="+state)
			}
		}
	}
	return strings.Join(all, " ")
}

// index is the TUN's.
func (r *router) index() string {
	r.t.Helper()
	out, err := r.run([]string{"ip", "-o", "link", "show", "nc0"})
	r.must(err)
	index, _, _ := strings.Cut(out, ":")
	return index
}

// ping sends a packet each 10 ms for 2.5 s, and returns what waits for the number
// of lost ones.
func (r *router) ping() (lost func() int) {
	done := make(chan string, 1)
	go func() {
		out, _ := r.run([]string{"ping", "-i", "0.01", "-c", "250", "-q", "-W", "2", "172.19.152.2"})
		done <- out
	}()
	return func() int {
		r.t.Helper()
		out := <-done
		var sent, received int
		for line := range strings.Lines(out) {
			_, _ = fmt.Sscanf(line, "%d packets transmitted, %d received", &sent, &received)
		}
		if sent != 250 {
			r.t.Fatalf("ping:\n%s", out)
		}
		return sent - received
	}
}
