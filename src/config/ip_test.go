package config

import (
	"errors"
	"net/netip"
	"strings"
	"testing"
)

// A transport without ports: its number stands in their place.

func TestParseIP(t *testing.T) {
	got, err := Parse("nc0.conf", strings.NewReader("[Interface]\nRole=local\nKey="+testKey+`
[Path]
Transport = ip
Bind      = eth1
Remote    = vps.example.org
[Path]
Transport = IP
Protocol  = 200
Bind      = eth1
Remote    = vps.example.org
[Path]
Transport = ip
Bind      = eth2
Remote    = vps.example.org
[Path]
Transport = ip
Remote    = 2001:db8::7
[Path]
Transport = ip
Remote    = [2001:db8::8]
Rate      = 1mbit
`))
	if err != nil {
		t.Fatal(err)
	}
	for i, want := range []Path{
		{Protocol: 253, Device: "eth1", Remote: HostPort{Host: "vps.example.org"}},
		{Protocol: 200, Device: "eth1", Remote: HostPort{Host: "vps.example.org"}},
		{Protocol: 253, Device: "eth2", Remote: HostPort{Host: "vps.example.org"}},
		{Protocol: 253, Remote: HostPort{Host: "2001:db8::7"}},
		{Protocol: 253, Remote: HostPort{Host: "2001:db8::8"}},
	} {
		p := got.Paths[i]
		if p.Transport != "ip" || p.Protocol != want.Protocol || p.Device != want.Device || p.Remote != want.Remote || p.Congestion != "bbr" {
			t.Errorf("path %d is %+v", i, p)
		}
	}
	if w := Warnings("nc0.conf", got); len(w) != 0 {
		t.Errorf("warned of %q", w)
	}
}

func TestParseListenIP(t *testing.T) {
	text := "[Interface]\nRole=remote\nKey=" + testKey + "\n[Listen]\nAddress=[::]:4725\n"
	for _, address := range []string{"::", "[::]\nProtocol=199", "0.0.0.0\nProtocol=200", "192.0.2.7\nProtocol=201", "192.0.2.8\nProtocol=201"} {
		text += "[Listen]\nTransport=ip\nAddress=" + address + "\n"
	}
	c, err := Parse("x", strings.NewReader(text))
	if err != nil {
		t.Fatal(err)
	}
	at := func(a string) netip.AddrPort { return netip.AddrPortFrom(netip.MustParseAddr(a), 0) }
	for i, want := range []Listen{
		{Transport: "udp", Address: netip.MustParseAddrPort("[::]:4725")},
		{Transport: "ip", Protocol: 253, Address: at("::")}, {Transport: "ip", Protocol: 199, Address: at("::")},
		{Transport: "ip", Protocol: 200, Address: at("0.0.0.0")},
		{Transport: "ip", Protocol: 201, Address: at("192.0.2.7")}, {Transport: "ip", Protocol: 201, Address: at("192.0.2.8")},
	} {
		if l := c.Listens[i]; l.Transport != want.Transport || l.Protocol != want.Protocol || l.Address != want.Address {
			t.Errorf("listener %d is %+v, want %+v", i, l, want)
		}
	}
}

func TestRejectedIP(t *testing.T) {
	local := "[Interface]\nRole=local\nKey=" + testKey + "\n"
	remote := "[Interface]\nRole=remote\nKey=" + testKey + "\n"
	path := "[Path]\nTransport=ip\nRemote=vps.example.org\n"
	listen := "[Listen]\nTransport=ip\nAddress=::\n"
	for name, tc := range map[string]struct{ text, want string }{
		"remote port":    {local + "[Path]\nTransport=ip\nRemote=vps.example.org:4725\n", "vps.example.org:4725: not a host alone: ip has no ports; allowed: vps.example.org,"},
		"remote v6 port": {local + "[Path]\nTransport=ip\nRemote=[2001:db8::7]:4725\n", "[2001:db8::7]:4725: not a host alone"},
		"udp no port":    {local + "[Path]\nRemote=192.0.2.7\n", "192.0.2.7: not a host and port"},
		"tcp no port":    {local + "[Path]\nTransport=tcp\nRemote=[2001:db8::7]\n", "not a host and port"},
		"listen port":    {remote + "[Listen]\nTransport=ip\nAddress=[::]:4725\n", "[::]:4725: not an address: ip has no ports; allowed: ::,"},
		"listen no port": {remote + "[Listen]\nAddress=0.0.0.0\n", "0.0.0.0: not an address and port"},
		"udp protocol":   {local + "[Path]\nProtocol=253\nRemote=192.0.2.7:1\n", "Protocol: means nothing without Transport = ip"},
		"tcp protocol":   {remote + "[Listen]\nTransport=tcp\nProtocol=253\nAddress=[::]:1\n", "Protocol: means nothing without"},
		"TCP's":          {local + path + "Protocol=6\n", "Protocol = 6: not an IP protocol number that is free; allowed: 253 or 254"},
		"IPv6's":         {local + path + "Protocol=44\n", "that is free"},
		"OSPF's":         {local + path + "Protocol=89\n", "that is free"},
		"VRRP's":         {local + path + "Protocol=112\n", "that is free"},
		"L2TP's":         {local + path + "Protocol=115\n", "that is free"},
		"MPLS in IP":     {local + path + "Protocol=137\n", "that is free"},
		"0":              {local + path + "Protocol=0\n", "that is free"},
		"255":            {local + path + "Protocol=255\n", "that is free"}, // the kernel takes it to mean "any"
		"a word":         {local + path + "Protocol=ospf\n", "that is free"},
		"two alike":      {local + path + path, "x:7: [Path]: goes the way of the path on line 4, and ip has no ports to tell them apart; allowed: a Bind or a Protocol of its own"},
		"listen twice":   {remote + listen + listen, "x:9: Address = ::: taken by the [Listen] on line 4; allowed: another address or Protocol"},
		"listen covered": {remote + listen + "[Listen]\nTransport=ip\nAddress=192.0.2.7\n", "taken by"},
		"two from one":   {local + path + "Bind=eth1\nName=a\n" + path + "Bind=eth1\n", "goes the way of"},
	} {
		_, err := Parse("x", strings.NewReader(tc.text))
		var all Errors
		if !errors.As(err, &all) || len(all) != 1 || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: got %v, want %q alone", name, err, tc.want)
		}
	}
	for _, number := range takenProtocols {
		if n, err := parseProtocol(string([]byte{byte('0' + number/100), byte('0' + number/10%10), byte('0' + number%10)})); err == nil {
			t.Errorf("%d taken as %d", number, n)
		}
	}
}
