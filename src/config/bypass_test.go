package config

import (
	"net/netip"
	"strings"
	"testing"
)

const bypassBase = `[Interface]
Role = local
Key = ` + testKey + `
Address = 172.19.152.3/31
Routing = nat
Fallback = direct
[Path]
Name = dsl
Bind = eth1
Remote = vps.example.org:4725
[Path]
Name = lte
Bind = 192.0.2.7
Remote = 198.51.100.1:4725
[Path]
Name = any
Remote = 198.51.100.1:4725
`

func TestParseBypass(t *testing.T) {
	got, err := Parse("nc0.conf", strings.NewReader(bypassBase+`
[Bypass]
To = 203.0.113.0/24, 2001:db8::7
From = 10.7.0.5/24, fd07::/64
Via = DSL
[bypass]
Set = inet fw4 banks
Via = lte
IfDown = Block
[Bypass]
Mark = 0x20/0xff
Via = eth9
IfDown = tunnel
[Bypass]
Mark = 32
Via = ppp0
`))
	if err != nil {
		t.Fatal(err)
	}
	prefixes := func(texts ...string) (list []netip.Prefix) {
		for _, text := range texts {
			list = append(list, netip.MustParsePrefix(text))
		}
		return list
	}
	if !got.Interface.Fallback {
		t.Error("Fallback = direct is lost")
	}
	want := *got
	want.Bypasses = []Bypass{
		{To: prefixes("203.0.113.0/24", "2001:db8::7/128"), From: prefixes("10.7.0.0/24", "fd07::/64"), Via: "DSL", Device: "eth1"},
		{Set: NFTSet{"inet", "fw4", "banks"}, Via: "lte", Source: netip.MustParseAddr("192.0.2.7"), Block: true},
		{Mark: Mark{0x20, 0xff}, Via: "eth9", Device: "eth9"},
		{Mark: Mark{32, 1<<32 - 1}, Via: "ppp0", Device: "ppp0"},
	}
	compareConfigs(t, got, &want)
	warned := strings.Join(Warnings("nc0.conf", got), "\n")
	if strings.Count(warned, "Via") != 2 || !strings.Contains(warned, "eth9") || !strings.Contains(warned, "ppp0") {
		t.Errorf("warnings:\n%s", warned)
	}
	for i, text := range []string{"", "inet fw4 banks", "", ""} {
		if set := got.Bypasses[i].Set.String(); set != text {
			t.Errorf("Set %d is %q, want %q", i, set, text)
		}
	}
	for i, text := range []string{"", "", "0x20/0xff", "0x20"} {
		if mark := got.Bypasses[i].Mark.String(); mark != text {
			t.Errorf("Mark %d is %q, want %q", i, mark, text)
		}
	}
}

// Each case is one thing wrong.
func TestBypassRejected(t *testing.T) {
	const to = "[Bypass]\nTo=203.0.113.0/24\nVia=dsl\n"
	for name, tc := range map[string]struct{ text, want string }{
		"no via":        {"[Bypass]\nTo=203.0.113.0/24\n", "Via: missing"},
		"no bind":       {"[Bypass]\nTo=203.0.113.0/24\nVia=any\n", "has no Bind"},
		"bad via":       {"[Bypass]\nTo=203.0.113.0/24\nVia=a;b\n", "neither an interface nor"},
		"no packet":     {"[Bypass]\nVia=dsl\n", "of no packet"},
		"multicast":     {"[Bypass]\nTo=224.0.0.0/4\nVia=dsl\n", "nothing that a WAN leads to"},
		"loopback":      {"[Bypass]\nTo=127.0.0.1\nVia=dsl\n", "nothing that a WAN leads to"},
		"link-local":    {"[Bypass]\nTo=fe80::/64\nVia=dsl\n", "nothing that a WAN leads to"},
		"bad prefix":    {"[Bypass]\nTo=bank.example\nVia=dsl\n", "not a network"},
		"to and set":    {to + "Set=inet fw4 banks\n", "given beside To"},
		"mark and set":  {"[Bypass]\nMark=1\nSet=inet fw4 banks\nVia=dsl\n", "given beside Mark"},
		"families":      {to + "From=fd07::/64\n", "of another IP version than To"},
		"two words":     {"[Bypass]\nSet=fw4 banks\nVia=dsl\n", "not the name of an nft set"},
		"bad family":    {"[Bypass]\nSet=arp fw4 banks\nVia=dsl\n", "not the name of an nft set"},
		"nft injection": {"[Bypass]\nSet=inet fw4 a;flush\nVia=dsl\n", "not the name of an nft set"},
		"quote":         {"[Bypass]\nSet=inet fw4 a\"b\nVia=dsl\n", "not the name of an nft set"},
		"digit":         {"[Bypass]\nSet=inet fw4 4banks\nVia=dsl\n", "not the name of an nft set"},
		"mark 0":        {"[Bypass]\nMark=0/0xff\nVia=dsl\n", "not a mark"},
		"outside mask":  {"[Bypass]\nMark=0x100/0xff\nVia=dsl\n", "not a mark"},
		"long mark":     {"[Bypass]\nMark=0x100000000\nVia=dsl\n", "not a mark"},
		"word":          {"[Bypass]\nMark=blue\nVia=dsl\n", "not a mark"},
		"bad ifdown":    {to + "IfDown=wait\n", "neither tunnel nor block"},
		"unknown":       {to + "Metric=1\n", "unknown in [Bypass]"},
		"too many":      {strings.Repeat(to, 51), "at most 50"},
		"too many sets": {strings.Repeat("[Bypass]\nSet=inet fw4 banks\nVia=dsl\n", 7), "at most 6"},
	} {
		_, err := Parse("nc0.conf", strings.NewReader(bypassBase+tc.text))
		if err == nil || !strings.Contains(err.Error(), tc.want) || strings.Contains(err.Error(), "\n") {
			t.Errorf("%s: %v, want just %q", name, err, tc.want)
		}
	}
	for name, tc := range map[string]struct{ old, new, want string }{
		"none":     {"Routing = nat\nFallback = direct\n", "", "[Bypass]: means nothing with Routing = none"},
		"fallback": {"Routing = nat\n", "", "Fallback = direct: means nothing with Routing = none"},
		"word":     {"Fallback = direct", "Fallback = maybe", "neither direct nor none"},
	} {
		_, err := Parse("nc0.conf", strings.NewReader(strings.Replace(bypassBase+to, tc.old, tc.new, 1)))
		if err == nil || !strings.Contains(err.Error(), tc.want) {
			t.Errorf("%s: %v, want %q", name, err, tc.want)
		}
	}
	_, err := Parse("nc0.conf", strings.NewReader("[Interface]\nRole = remote\nKey = "+testKey+"\nFallback = none\n[Listen]\nAddress = [::]:4725\n"+to))
	for _, want := range []string{"[Bypass]: means nothing on a remote portal", "Fallback: means nothing on a remote portal"} {
		if err == nil || !strings.Contains(err.Error(), want) {
			t.Errorf("on a remote: %v, want %q", err, want)
		}
	}
}

// What is added live stands beside its like, and goes without a trace.
func TestEditBypass(t *testing.T) {
	c, err := Parse("nc0.conf", strings.NewReader(bypassBase+"[Bypass]\nTo = 203.0.113.0/24, 2001:db8::/32\nVia = dsl\n"))
	if err != nil {
		t.Fatal(err)
	}
	standing := func(want string) {
		t.Helper()
		var got []string
		for _, b := range c.Bypasses {
			got = append(got, join(b.To)+" via "+b.Via)
		}
		if all := strings.Join(got, "; "); all != want {
			t.Errorf("%s, want %s", all, want)
		}
	}
	edit := func(do, prefix string, settings ...Setting) string {
		t.Helper()
		next, err := c.Edit(Edit{Do: do, Bypass: prefix, Settings: settings})
		if err != nil {
			return err.Error()
		}
		c = next
		return ""
	}
	via := func(wan string) Setting { return Setting{"via", wan} }
	for _, step := range []struct {
		do, prefix string
		settings   []Setting
		problem    string
		want       string
	}{
		{Add, "198.51.100.7", []Setting{via("DSL")}, "", "203.0.113.0/24, 2001:db8::/32, 198.51.100.7/32 via dsl"},
		{Add, "198.51.100.9", []Setting{via("lte")}, "", "203.0.113.0/24, 2001:db8::/32, 198.51.100.7/32 via dsl; 198.51.100.9/32 via lte"},
		{Add, "198.51.100.8", []Setting{via("dsl"), {"ifdown", "block"}}, "", "203.0.113.0/24, 2001:db8::/32, 198.51.100.7/32 via dsl; 198.51.100.9/32 via lte; 198.51.100.8/32 via dsl"},
		{Add, "198.51.100.8/32", []Setting{via("lte")}, "there is one of this prefix", ""},
		{Add, "192.0.3.0/24", nil, "Via: missing", ""},
		{Add, "192.0.3.0/24", []Setting{via("any")}, "has no Bind", ""},
		{Add, "192.0.3.0/24", []Setting{via("dsl"), {"To", "9.9.9.9"}}, "given twice", ""},
		{Add, "bank", []Setting{via("dsl")}, "To = bank: bank is not a network", ""},
		{Set, "203.0.113.0/24", []Setting{via("lte")}, "cannot be set", ""},
		{Remove, "192.0.3.0/24", nil, "there is none of this prefix", ""},
		{Remove, "203.0.113.0/24", nil, "", "2001:db8::/32, 198.51.100.7/32 via dsl; 198.51.100.9/32 via lte; 198.51.100.8/32 via dsl"},
		{Remove, "198.51.100.9", nil, "", "2001:db8::/32, 198.51.100.7/32 via dsl; 198.51.100.8/32 via dsl"},
	} {
		problem := edit(step.do, step.prefix, step.settings...)
		if (problem == "") != (step.problem == "") || !strings.Contains(problem, step.problem) {
			t.Errorf("%s %s: %q, want %q", step.do, step.prefix, problem, step.problem)
		}
		if step.want != "" {
			standing(step.want)
		}
	}
	if !c.Bypasses[1].Block {
		t.Error("IfDown is lost")
	}
	if _, err := c.Edit(Edit{Do: Remove, Path: "DSL"}); err == nil || !strings.Contains(err.Error(), "path DSL: a bypass goes by it; allowed: remove") {
		t.Errorf("removing the path of a bypass: %v", err)
	}
	if _, err := c.Edit(Edit{Do: Remove, Path: "lte"}); err != nil {
		t.Errorf("removing the path of none: %v", err)
	}
	// The file's word again.
	file, _ := Parse("nc0.conf", strings.NewReader(bypassBase))
	next, restart, err := c.Reload(file)
	if err != nil || len(restart) > 0 {
		t.Fatalf("reload: %v, %v", restart, err)
	}
	if c = next; len(c.Bypasses) > 0 {
		t.Errorf("after a reload: %v", c.Bypasses)
	}
	if next, err = c.Edit(Edit{Do: Set, Settings: []Setting{{"fallback", "none"}}}); err != nil || next.Interface.Fallback {
		t.Errorf("set fallback none: %v", err)
	}
	if _, err = c.Edit(Edit{Do: Set, Settings: []Setting{{"fallback", "often"}}}); err == nil {
		t.Error("set fallback often")
	}
}
