package setup

import (
	"fmt"
	"slices"
	"strings"
)

// pf says which lines /etc/pf.conf lacks. There is no command that adds a rule to pf's
// main ruleset, and the file is its owner's: nobody is asked. masquerades: what comes out
// of the tunnel goes by the owner's rules; with Routing = portal the daemon's let it pass.
func (f *opening) pf(masquerades bool) {
	rules, err := f.host.Command("pfctl", "-P", "-s", "rules") // ports as numbers
	if err != nil || !slices.ContainsFunc(strings.Split(rules, "\n"), blocksIn) {
		return
	}
	var missing []string
	for _, l := range f.listens {
		if !passes(rules, "proto "+l.Transport, fmt.Sprintf("port = %d", l.Port)) {
			missing = append(missing, fmt.Sprintf("pass in proto %s to port %d", l.Transport, l.Port))
		}
	}
	if len(f.listens) > 0 && masquerades && !passes(rules, "on netcombiner") && !passes(rules, "on "+f.iface) {
		missing = append(missing, "pass in on netcombiner")
	}
	if len(missing) == 0 {
		return
	}
	f.host.say("pf keeps packets out. These lines at the end of /etc/pf.conf let them through, after service pf reload:")
	for _, line := range missing {
		f.host.say("    %s", line)
	}
}

// blocksIn says of a rule, as pfctl prints it, that it keeps packets out that no later
// one takes: "block drop in log all".
func blocksIn(rule string) bool {
	words := strings.Fields(rule)
	return len(words) > 0 && words[0] == "block" && words[len(words)-1] == "all" &&
		!slices.Contains(words, "out") && !slices.Contains(words, "quick")
}

// passes says that a rule lets in all, or what all these words are said of.
func passes(rules string, words ...string) bool {
	for rule := range strings.Lines(rules) {
		said := strings.Join(strings.Fields(rule), " ") + " "
		if strings.HasPrefix(said, "pass all ") || strings.HasPrefix(said, "pass in all ") ||
			strings.HasPrefix(said, "pass in ") && !slices.ContainsFunc(words, func(w string) bool { return !strings.Contains(said, " "+w+" ") }) {
			return true
		}
	}
	return false
}
