package router

import (
	"os"
	"strings"
	"testing"
)

// handler runs the protocol handler of netifd's interface "up".
func (r *router) handler(action string, env ...string) []string {
	r.t.Helper()
	r.write("calls", "")
	if out, err := r.script("proto.sh", env, action, "up"); err != nil || out != "" {
		r.t.Fatalf("%s: %v\n%s", action, err, out)
	}
	return strings.Split(strings.TrimSpace(r.read("calls")), "\n")
}

func TestHandler(t *testing.T) {
	r := newRouter(t)
	same(t, "init_config", r.handler("init_config"), []string{
		"proto_config_add_string tunnel",
		"no_device=1 available=1 no_proto_task=1 teardown_on_l3_link_down=1 renew_handler=1",
	})
	begin := []string{"proto_init_update tunnel 1 1", "proto_add_ipv4_address 172.19.152.3 31", "proto_add_ipv6_address fd19:152::3 127"}
	v4, v6, end := "proto_add_ipv4_route 0.0.0.0 0   1", "proto_add_ipv6_route :: 0  1", "proto_send_update up"
	for _, c := range []struct {
		name, from, to string
		env            []string
		want           []string
	}{
		{"nat", "", "", nil, append(begin[:3:3], v4, v6, end)},
		{"metric", "", "", []string{"OPTION_metric=5"}, append(begin[:3:3], "proto_add_ipv4_route 0.0.0.0 0   5", "proto_add_ipv6_route :: 0  5", end)},
		{"none", "routing nat", "routing none", nil, append(begin[:3:3], end)},
		{"remote", "role local", "role remote", nil, append(begin[:3:3], end)},
		{"IPv4 only", "list address fd19:152::3/127", "", nil, append(begin[:2:2], v4, end)},
		{"no prefix", "list address 172.19.152.3/31\n\tlist address fd19:152::3/127", "list address fd19:152::3", nil,
			[]string{begin[0], "proto_add_ipv6_address fd19:152::3 128", v6, end}},
	} {
		uci := strings.Replace(home, "config tunnel nc0", "config tunnel tunnel", 1)
		r.uci(strings.Replace(uci, c.from, c.to, 1))
		for _, action := range []string{"setup", "renew"} {
			want := c.want
			if action == "setup" {
				want = append([]string{"await_tun tunnel"}, want...)
			}
			// No host dependency, then, and nothing started.
			same(t, c.name+": "+action, r.handler(action, append(c.env, "OPTION_tunnel=tunnel")...), want)
		}
	}
	same(t, "teardown", r.handler("teardown", "OPTION_tunnel=tunnel"), []string{""})
}

// Nothing that the package installs does what netifd is for, or what would pin the
// tunnel to one WAN.
func TestScriptsLeaveRoutesToNetifd(t *testing.T) {
	for _, file := range []string{"etc/init.d/netcombiner", "lib/netifd/proto/netcombiner.sh", "lib/netcombiner/ini.sh", "lib/netcombiner/keys.sh"} {
		text, err := os.ReadFile("../../netcombiner/files/" + file)
		if err != nil {
			t.Fatal(err)
		}
		for _, word := range []string{"proto_add_host_dependency", "ip rule", "ip route", "ip -6", "uci set", "firewall reload"} {
			if strings.Contains(string(text), word) {
				t.Errorf("%s: %s", file, word)
			}
		}
	}
}
