package setup

import (
	"fmt"
	"slices"
	"strings"

	"netcombiner/src/config"
	"netcombiner/src/token"
)

// firewall says which commands open the host's firewall for the tunnel, if it has one
// that is closed, and runs them only if somebody agrees.
func (h *Host) firewall(iface string, routing config.Routing, listens []token.Way, yes bool) {
	f := opening{host: h, iface: iface, forward: routing != config.RoutingNone, listens: listens}
	if len(listens) > 0 {
		defer h.say("if the provider has a firewall of its own (AWS, Oracle, Hetzner …), open %s there, too", ports(listens))
	}
	if h.PF {
		f.pf(routing == config.RoutingNAT)
		return
	}
	name, commands := f.find()
	if len(commands) == 0 {
		return
	}
	h.say("%s keeps packets out. These commands let them through:", name)
	for _, c := range commands {
		h.say("    %s", shell(c))
	}
	if !yes && (h.Ask == nil || !h.Ask("Run them now?")) {
		h.say("nothing was opened: run them yourself, or say --yes")
		return
	}
	for _, c := range commands {
		if out, err := h.Command(c[0], c[1:]...); err != nil {
			h.say("%s: %v %s", shell(c), err, strings.TrimSpace(out))
		}
	}
	if name == "nftables" {
		h.say("that holds until the next boot: put it into the host's firewall configuration, too (Debian: /etc/nftables.conf)")
	}
}

func ports(listens []token.Way) string {
	words := make([]string, len(listens))
	for i, l := range listens {
		words[i] = fmt.Sprintf("%s %d", l.Transport, l.Port)
	}
	return list(words)
}

// shell is a command as one types it.
func shell(words []string) string {
	quoted := slices.Clone(words)
	for i, w := range quoted {
		if strings.ContainsAny(w, `"@[]* `) {
			quoted[i] = "'" + w + "'"
		}
	}
	return strings.Join(quoted, " ")
}

// opening is what a tunnel needs of a firewall.
type opening struct {
	host    *Host
	iface   string
	forward bool // from and to the tunnel
	listens []token.Way
}

// find returns the host's firewall and the commands, if any, that it takes to open it.
func (f *opening) find() (name string, commands [][]string) {
	if status, err := f.host.Command("ufw", "status"); err == nil && strings.Contains(status, "Status: active") {
		return "ufw", f.ufw(status)
	}
	if state, err := f.host.Command("firewall-cmd", "--state"); err == nil && strings.TrimSpace(state) == "running" {
		return "firewalld", f.firewalld()
	}
	ruleset, err := f.host.Command("nft", "list", "ruleset")
	if err != nil {
		return "", nil
	}
	return "nftables", f.nftables(parseRuleset(ruleset))
}

func (f *opening) ufw(status string) (commands [][]string) {
	for _, l := range f.listens {
		port := fmt.Sprintf("%d/%s", l.Port, l.Transport)
		if !allowed(status, port+" ") {
			commands = append(commands, []string{"ufw", "allow", port})
		}
	}
	if f.forward && !allowed(status, "Anywhere on "+f.iface+" ") {
		commands = append(commands,
			[]string{"ufw", "route", "allow", "in", "on", f.iface},
			[]string{"ufw", "route", "allow", "out", "on", f.iface})
	}
	return commands
}

// allowed says that ufw's status has a line that begins so and allows.
func allowed(status, begin string) bool {
	for line := range strings.Lines(status) {
		if strings.HasPrefix(line, begin) && strings.Contains(line, "ALLOW") {
			return true
		}
	}
	return false
}

func (f *opening) firewalld() (commands [][]string) {
	open, _ := f.host.Command("firewall-cmd", "--list-ports")
	for _, l := range f.listens {
		port := fmt.Sprintf("%d/%s", l.Port, l.Transport)
		if !slices.Contains(strings.Fields(open), port) {
			commands = append(commands, []string{"firewall-cmd", "--permanent", "--add-port=" + port})
		}
	}
	if zone, err := f.host.Command("firewall-cmd", "--get-zone-of-interface="+f.iface); f.forward && (err != nil || strings.TrimSpace(zone) != "trusted") {
		commands = append(commands, []string{"firewall-cmd", "--permanent", "--zone=trusted", "--add-interface=" + f.iface})
	}
	if len(commands) > 0 {
		commands = append(commands, []string{"firewall-cmd", "--reload"})
	}
	return commands
}

// nftables goes through the chains that drop, which are there also where iptables is a
// front of nftables.
func (f *opening) nftables(chains []chain) (commands [][]string) {
	for _, c := range chains {
		if c.table == "fw4" && c.hook == "forward" && f.forward {
			if openWrt := f.openWrt(); openWrt != nil {
				commands = append(commands, openWrt...)
				continue
			}
		}
		if !c.closed() || strings.HasPrefix(c.table, "netcombiner-") {
			continue
		}
		insert := func(match ...string) {
			if !c.accepts(match) {
				commands = append(commands, slices.Concat([]string{"nft", "insert", "rule", c.family, c.table, c.name}, match, []string{"accept"}))
			}
		}
		switch {
		case c.hook == "input":
			for _, l := range f.listens {
				insert(l.Transport, "dport", fmt.Sprint(l.Port))
			}
		case c.hook == "forward" && f.forward:
			insert("iifname", `"`+f.iface+`"`)
			insert("oifname", `"`+f.iface+`"`)
		}
	}
	return commands
}

// openWrt puts the tunnel into the zone of the Internet. It returns nil, not an empty list, where
// there is none; fw4's rules are its own, and what is inserted by hand goes with the next
// reload.
func (f *opening) openWrt() [][]string {
	for i := range 8 {
		zone := fmt.Sprintf("firewall.@zone[%d]", i)
		if name, err := f.host.Command("uci", "-q", "get", zone+".name"); err != nil || strings.TrimSpace(name) != "wan" {
			continue
		}
		devices, _ := f.host.Command("uci", "-q", "get", zone+".device")
		if slices.Contains(strings.Fields(devices), f.iface) {
			return [][]string{}
		}
		return [][]string{{"uci", "add_list", zone + ".device=" + f.iface}, {"uci", "commit", "firewall"}, {"/etc/init.d/firewall", "reload"}}
	}
	return nil
}

// chain is a base chain of nft's ruleset.
type chain struct {
	family, table, name string
	hook                string // input, forward, …
	drops               bool   // by its policy
	rules               []string
}

// parseRuleset reads what "nft list ruleset" prints, as far as we look at it.
func parseRuleset(text string) (chains []chain) {
	var family, table string
	var c *chain
	for line := range strings.Lines(text) {
		words := strings.Fields(line)
		switch {
		case len(words) == 4 && words[0] == "table" && words[3] == "{":
			family, table = words[1], words[2]
		case len(words) == 3 && words[0] == "chain" && words[2] == "{":
			c = &chain{family: family, table: table, name: words[1]}
		case len(words) == 1 && words[0] == "}":
			if c != nil && c.hook != "" {
				chains = append(chains, *c)
			}
			c = nil
		case c == nil || len(words) == 0:
		case words[0] == "type":
			if i := slices.Index(words, "hook"); words[1] == "filter" && i > 0 && i+1 < len(words) {
				c.hook = words[i+1]
			}
			c.drops = strings.Contains(line, "policy drop")
		default:
			c.rules = append(c.rules, strings.Join(words, " "))
		}
	}
	return chains
}

// closed says that the chain drops what no rule of it accepts.
func (c *chain) closed() bool {
	if c.drops || len(c.rules) == 0 {
		return c.drops
	}
	last := strings.Fields(c.rules[len(c.rules)-1])
	if len(last) >= 5 && last[0] == "counter" { // "counter packets 3 bytes 180 drop"
		last = last[5:]
	}
	return len(last) > 0 && (last[0] == "drop" || last[0] == "reject")
}

// accepts says that a rule has this match, alone or with a counter, and accepts.
func (c *chain) accepts(match []string) bool {
	for _, rule := range c.rules {
		before, found := strings.CutSuffix(rule, " accept")
		before, _, _ = strings.Cut(before, " counter ")
		if found && before == strings.Join(match, " ") {
			return true
		}
	}
	return false
}
