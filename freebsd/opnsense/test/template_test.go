package opnsense

import (
	"fmt"
	"net/netip"
	"os"
	"path/filepath"
	"slices"
	"strings"
	"testing"

	"netcombiner/src/config"
)

// sample is a config.xml of a cluster with two WANs, one of which has its gateway by DHCP.
const sample = `<?xml version="1.0"?>
<opnsense>
 <interfaces>
  <wan><if>em0</if><enable>1</enable><descr/></wan>
  <lan><if>em2</if><enable>1</enable></lan>
  <opt1><if>em1</if><enable>1</enable><descr>Mobile net</descr></opt1>
 </interfaces>
 <virtualip><vip uuid="00000000-0000-4000-8000-0000000000c1"><mode>carp</mode><interface>lan</interface><vhid>3</vhid><subnet>10.0.0.1</subnet></vip></virtualip>
 <OPNsense>
  <Gateways version="1.0.0">
   <gateway_item uuid="00000000-0000-4000-8000-0000000000a0"><disabled>1</disabled><name>OLD</name><interface>wan</interface><ipprotocol>inet</ipprotocol><gateway>192.0.2.99</gateway></gateway_item>
   <gateway_item uuid="00000000-0000-4000-8000-0000000000a1"><disabled>0</disabled><name>WANGW</name><interface>wan</interface><ipprotocol>inet</ipprotocol><gateway>192.0.2.1</gateway></gateway_item>
   <gateway_item uuid="00000000-0000-4000-8000-0000000000a2"><disabled>0</disabled><name>SECOND</name><interface>wan</interface><ipprotocol>inet</ipprotocol><gateway>192.0.2.2</gateway></gateway_item>
   <gateway_item uuid="00000000-0000-4000-8000-0000000000a3"><disabled>0</disabled><name>WANGW6</name><interface>wan</interface><ipprotocol>inet6</ipprotocol><gateway>fe80::1%em0</gateway></gateway_item>
   <gateway_item uuid="00000000-0000-4000-8000-0000000000a4"><disabled>0</disabled><name>LTE_DHCP</name><interface>opt1</interface><ipprotocol>inet</ipprotocol><gateway/></gateway_item>
   <gateway_item uuid="00000000-0000-4000-8000-0000000000a5"><disabled>0</disabled><name>LTE6</name><interface>opt1</interface><ipprotocol>inet6</ipprotocol><gateway>dynamic</gateway></gateway_item>
  </Gateways>
  <netcombiner version="1.0.0">
   <general><enabled>1</enabled></general>
   <tunnels>
    <tunnel uuid="00000000-0000-4000-8000-000000000001"><enabled>1</enabled><name>home</name><instance>0</instance><role>local</role><key>` + key + `</key>
     <address>172.19.152.3/31,fd19:152::3/127</address><routing>portal</routing><suite>aes128gcm</suite><scheduler>redundant</scheduler><mtu>1400</mtu><egress>pf</egress>
     <authenticateaddresses>yes</authenticateaddresses><memorylimit>64MB</memorylimit><metrics>127.0.0.1:9487</metrics><publicaddress>203.0.113.9</publicaddress>
     <clientinterface>lan</clientinterface><keepports/><carp_depend_on>00000000-0000-4000-8000-0000000000c1</carp_depend_on></tunnel>
    <tunnel uuid="00000000-0000-4000-8000-000000000002"><enabled>1</enabled><name>vps</name><instance>7</instance><role>remote</role><key>` + key + `</key>
     <address>172.19.152.2/31</address><routing>portal</routing><suite>auto</suite><scheduler>earliest</scheduler><mtu/><egress>auto</egress><authenticateaddresses>no</authenticateaddresses>
     <memorylimit/><metrics/><publicaddress/><clientinterface/><keepports>22,8443</keepports><carp_depend_on/></tunnel>
    <tunnel uuid="00000000-0000-4000-8000-000000000003"><enabled>0</enabled><name>off</name><instance>3</instance><role>local</role><key>` + key + `</key></tunnel>
   </tunnels>
   <paths>
    <path uuid="00000000-0000-4000-8000-0000000000b1"><enabled>1</enabled><tunnel>00000000-0000-4000-8000-000000000001</tunnel><name>dsl</name><interface>wan</interface><source/><gateway/>
     <transport>udp</transport><protocol/><remote>vps.example.org:4725</remote><congestion>newreno</congestion><rate>40mbit/10mbit</rate><metric>0</metric><direction>receive</direction><quota>50GB</quota><quotareset>15</quotareset></path>
    <path uuid="00000000-0000-4000-8000-0000000000b2"><enabled>1</enabled><tunnel>00000000-0000-4000-8000-000000000001</tunnel><name>lte</name><interface>opt1</interface>
     <transport>ip</transport><protocol>254</protocol><remote>198.51.100.9</remote><metric>10</metric><direction>both</direction></path>
    <path uuid="00000000-0000-4000-8000-0000000000b3"><enabled>1</enabled><tunnel>00000000-0000-4000-8000-000000000001</tunnel><name>old</name><interface>wan</interface><source>192.0.2.7</source>
     <transport>tcp</transport><remote>198.51.100.9:443</remote><metric>0</metric></path>
    <path uuid="00000000-0000-4000-8000-0000000000b4"><enabled>1</enabled><tunnel>00000000-0000-4000-8000-000000000001</tunnel><name>own</name><interface>wan</interface><gateway>192.0.2.3,fe80::3</gateway>
     <transport>udp</transport><remote>[2001:db8::9]:4725</remote><metric>0</metric></path>
    <path uuid="00000000-0000-4000-8000-0000000000b5"><enabled>0</enabled><tunnel>00000000-0000-4000-8000-000000000001</tunnel><name>off</name><interface>wan</interface><transport>udp</transport><remote>vps.example.org:1</remote></path>
    <path uuid="00000000-0000-4000-8000-0000000000b6"><enabled>1</enabled><tunnel>00000000-0000-4000-8000-000000000003</tunnel><name>other</name><transport>udp</transport><remote>vps.example.org:2</remote></path>
   </paths>
   <listens>
    <listen uuid="00000000-0000-4000-8000-0000000000d1"><enabled>1</enabled><tunnel>00000000-0000-4000-8000-000000000002</tunnel><transport>udp</transport><protocol/><address>[::]:4725</address><allow>198.51.100.0/24,2001:db8::/32</allow><open>1</open></listen>
    <listen uuid="00000000-0000-4000-8000-0000000000d2"><enabled>1</enabled><tunnel>00000000-0000-4000-8000-000000000002</tunnel><transport>ip</transport><protocol>253</protocol><address>::</address><allow/><open>1</open></listen>
    <listen uuid="00000000-0000-4000-8000-0000000000d3"><enabled>0</enabled><tunnel>00000000-0000-4000-8000-000000000002</tunnel><transport>tcp</transport><address>[::]:443</address></listen>
   </listens>
  </netcombiner>
 </OPNsense>
</opnsense>
`

const newConf = "/usr/local/etc/netcombiner/new/"

// render returns the folder with what the templates make of a config.xml.
func render(t *testing.T, xml string) string {
	t.Helper()
	return renderAll(t, xml)[0]
}

// renderAll is render of many at once, which is much quicker.
func renderAll(t *testing.T, xml ...string) (roots []string) {
	t.Helper()
	argv := []string{"python3", "testdata/configd.py", service + "templates/OPNsense/Netcombiner"}
	for _, text := range xml {
		root := t.TempDir()
		write(t, root+"/config.xml", text)
		must(t, os.MkdirAll(root+newConf, 0o700))
		must(t, os.Chmod(root+newConf, 0o700))
		roots = append(roots, root)
	}
	if out, err := command(t, nil, append(argv, roots...)...); err != nil {
		t.Fatalf("%v (python3-jinja2 is needed)\n%s", err, out)
	}
	return roots
}

// parsed is a candidate as the daemon of FreeBSD reads it.
func parsed(t *testing.T, root, name string) (*config.Config, error) {
	t.Helper()
	return config.ParseFor("freebsd", name, strings.NewReader(read(t, root+newConf+name)))
}

func addresses(texts ...string) (all []netip.Addr) {
	for _, text := range texts {
		all = append(all, netip.MustParseAddr(text))
	}
	return all
}

// Every value of config.xml is one of the daemon's.
func TestTemplate(t *testing.T) {
	root := render(t, sample)
	home, err := parsed(t, root, "nc0.conf")
	must(t, err)
	own := home.Interface
	if own.Role != config.Local || own.Key.Base64() != key || fmt.Sprint(own.Address) != "[172.19.152.3/31 fd19:152::3/127]" || own.Routing != config.RoutingPortal ||
		own.Suite != "aes128gcm" || own.Scheduler != "redundant" || own.MTU != 1400 || own.Egress != config.EgressPF || !own.AuthenticateAddresses ||
		own.MemoryLimit != 64_000_000 || own.Metrics.String() != "127.0.0.1:9487" || !slices.Equal(own.PublicAddress, addresses("203.0.113.9")) || own.ClientInterface != "em2" {
		t.Errorf("[Interface] is %+v", own)
	}
	if len(home.Paths) != 4 {
		t.Fatalf("%d paths: %+v", len(home.Paths), home.Paths)
	}
	dsl, lte, old, given := home.Paths[0], home.Paths[1], home.Paths[2], home.Paths[3]
	if dsl.Name != "dsl" || dsl.Device != "em0" || !slices.Equal(dsl.Gateway, addresses("192.0.2.1", "fe80::1")) || dsl.Remote.String() != "vps.example.org:4725" ||
		dsl.Congestion != "newreno" || dsl.RateDown != 40e6 || dsl.RateUp != 10e6 || dsl.Direction != config.Receive || dsl.Quota != 50e9 || dsl.QuotaReset != 15 {
		t.Errorf("[Path] dsl is %+v", dsl)
	}
	if lte.Device != "em1" || lte.Gateway != nil || lte.Transport != "ip" || lte.Protocol != 254 || lte.Metric != 10 {
		t.Errorf("[Path] lte is %+v", lte)
	}
	if old.Device != "" || old.Source != addresses("192.0.2.7")[0] || !slices.Equal(old.Gateway, addresses("192.0.2.1")) {
		t.Errorf("[Path] old is %+v", old)
	}
	if given.Device != "em0" || !slices.Equal(given.Gateway, addresses("192.0.2.3", "fe80::3")) {
		t.Errorf("[Path] own is %+v", given)
	}

	vps, err := parsed(t, root, "nc7.conf")
	must(t, err)
	if vps.Interface.Role != config.Remote || !slices.Equal(vps.Interface.KeepPorts, []uint16{22, 8443}) || vps.Interface.AuthenticateAddresses || len(vps.Listens) != 2 ||
		vps.Listens[0].Address.String() != "[::]:4725" || fmt.Sprint(vps.Listens[0].Allow) != "[198.51.100.0/24 2001:db8::/32]" || vps.Listens[1].Protocol != 253 {
		t.Errorf("nc7 is %+v", vps)
	}
	for _, name := range []string{"nc0.conf", "nc7.conf"} {
		if info, err := os.Stat(root + newConf + name); err != nil || info.Mode().Perm() != 0o600 {
			t.Errorf("%s: %v, %v", name, info.Mode(), err)
		}
	}
}

// shell reads the file for rc.conf.d as FreeBSD's shell does.
func shell(t *testing.T, root string) map[string]string {
	t.Helper()
	vars := make(map[string]string)
	for _, name := range []string{"enable", "skip", "interfaces", "carp"} {
		out, err := command(t, nil, "dash", "-ec", `. "$1"; eval "printf %s \"\$netcombiner_$2\""`, "sh", root+"/etc/rc.conf.d/netcombiner", name)
		must(t, err)
		vars[name] = out
	}
	return vars
}

func TestTunnelsThatRun(t *testing.T) {
	for name, tc := range map[string]struct{ xml, enable, interfaces, carp string }{
		"two":      {sample, "YES", "nc0 nc7", "nc0=em2,3"},
		"disabled": {strings.Replace(sample, "<general><enabled>1", "<general><enabled>0", 1), "NO", "", ""},
		"none":     {"<opnsense><OPNsense><netcombiner><general><enabled>1</enabled></general><tunnels/></netcombiner></OPNsense></opnsense>", "NO", "", ""},
		"fresh":    {"<opnsense><interfaces/></opnsense>", "NO", "", ""},
	} {
		vars := shell(t, render(t, tc.xml))
		if vars["enable"] != tc.enable || vars["interfaces"] != tc.interfaces || vars["carp"] != tc.carp || vars["skip"] != "YES" {
			t.Errorf("%s: %v", name, vars)
		}
	}
}

// One tunnel is no list in configd.
func TestOneTunnel(t *testing.T) {
	text, rest, _ := strings.Cut(sample, `    <tunnel uuid="00000000-0000-4000-8000-000000000002">`)
	_, rest, _ = strings.Cut(rest, "   </tunnels>")
	root := render(t, text+"   </tunnels>"+rest)
	if home, err := parsed(t, root, "nc0.conf"); err != nil || len(home.Paths) != 4 {
		t.Errorf("%+v, %v", home, err)
	}
	if all, _ := filepath.Glob(root + newConf + "*"); len(all) != 1 {
		t.Errorf("files: %v", all)
	}
}

// Whatever a value is, it stays a value: config.xml may come from another host, or be
// edited by hand.
func TestHostileValues(t *testing.T) {
	evil := []string{
		"x\n[Path]\nName = evil\nRemote = 192.0.2.66:1", "x\r\n[Path]\r\nName = evil", "x&#13;[Path]&#13;Name = evil", "x&#10;Name = evil",
		`"; touch /tmp/evil; "`, "$(touch evil)", "`touch evil`", "{{ 7*7 }}", "{% raw %}", "'quoted'", "x # Name = evil", "&lt;b&gt;", "x&#x2028;Name = evil", "x&#x85;Name = evil",
	}
	var whats, all []string
	for _, field := range []string{
		"<remote>vps.example.org:4725", "<name>dsl", "<rate>40mbit/10mbit", "<interface>wan", "<gateway>192.0.2.3,fe80::3", "<key>" + key, "<clientinterface>lan", "<suite>aes128gcm",
		"<if>em0", "<gateway>192.0.2.1", "<address>[::]:4725", "<allow>198.51.100.0/24,2001:db8::/32", "<instance>7", "<vhid>3", "<quotareset>15", "<if>em2",
	} {
		if !strings.Contains(sample, field) {
			t.Fatalf("the sample has no %s", field)
		}
		tag, _, _ := strings.Cut(field, ">")
		for _, value := range evil {
			whats = append(whats, tag+">"+value)
			all = append(all, strings.Replace(sample, field, tag+">"+value, 1))
		}
	}
	for i, root := range renderAll(t, all...) {
		checkSourced(t, whats[i], root)
		candidates, _ := filepath.Glob(root + newConf + "nc*.conf")
		for _, file := range candidates {
			checkHostile(t, whats[i], read(t, file))
		}
	}
}

// checkSourced holds the file for rc.conf.d, which the system's shell reads, to four
// assignments, of which none runs anything.
func checkSourced(t *testing.T, what, root string) {
	t.Helper()
	out, err := command(t, nil, "dash", "-euc", `cd "$1"; . ./etc/rc.conf.d/netcombiner; echo "$netcombiner_enable $netcombiner_skip $netcombiner_interfaces"`, "sh", root)
	if err != nil || strings.Trim(out, "nc0127 YES\n") != "" || exists(root+"/evil") {
		t.Errorf("%s: %q, %v", what, out, err)
	}
}

// checkHostile holds a candidate to the sections that it is to have, and to keys that
// stand in a section once.
func checkHostile(t *testing.T, what, text string) {
	t.Helper()
	sections, keys := 0, map[string]int{}
	for line := range strings.SplitSeq(text, "\n") {
		name, _, assigned := strings.Cut(line, " = ")
		switch {
		case line == "" || strings.HasPrefix(line, "#"):
		case line == "[Interface]" || line == "[Path]" || line == "[Listen]":
			sections++
			clear(keys)
		case !assigned:
			t.Errorf("%s: the line %q", what, line)
		default:
			if keys[name]++; keys[name] > 1 {
				t.Errorf("%s: %q twice in a section", what, name)
			}
		}
	}
	if sections > 6 {
		t.Errorf("%s: %d sections in\n%s", what, sections, text)
	}
	if c, err := config.ParseFor("freebsd", "evil.conf", strings.NewReader(text)); err == nil {
		for _, path := range c.Paths {
			if path.Name == "evil" {
				t.Errorf("%s: a path of its own", what)
			}
		}
	}
}
