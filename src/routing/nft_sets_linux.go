package routing

import (
	"strings"

	"netcombiner/src/config"
)

// setFamilies looks sets up: those that are there, with the word for the
// addresses that they hold. One of anything else counts as not there.
func (kernel) setFamilies(sets []config.NFTSet) map[config.NFTSet]string {
	found := map[config.NFTSet]string{}
	for _, s := range sets {
		// Terse: a set of others may be long.
		out, err := nft("", "-t", "list", "set", s.Family, s.Table, s.Name)
		if err != nil {
			continue
		}
		if word := addressesOf(string(out)); word != "" {
			found[s] = word
		}
	}
	return found
}

// addressesOf reads what nft says of a set: "ip", "ip6", or nothing.
func addressesOf(listing string) string {
	for line := range strings.Lines(listing) {
		switch strings.TrimSuffix(strings.TrimSpace(line), ";") {
		case "type ipv4_addr", "typeof ip saddr", "typeof ip daddr":
			return "ip"
		case "type ipv6_addr", "typeof ip6 saddr", "typeof ip6 daddr":
			return "ip6"
		}
	}
	return ""
}

// loadSetChain makes the chains, or replaces what is in them, in one transaction.
func loadSetChain(c SetChain) error {
	_, err := nft(script(c.add()), "-f", "-")
	return err
}

// chainsPresent says whether the chains are in their table, with rules.
func chainsPresent(c SetChain) bool {
	for _, chain := range c.chains() {
		out, err := nft("", "list", "chain", c.Family, c.Table, chain.name)
		if err != nil || !strings.Contains(string(out), "ct mark") {
			return false
		}
	}
	return true
}

// deleteSetChain deletes the chains, each of which, or its table, may be gone.
func deleteSetChain(c SetChain) error {
	for line := range strings.Lines(script(c.remove())) {
		if _, err := nft(line, "-f", "-"); err != nil && !strings.Contains(err.Error(), "No such file") {
			return err
		}
	}
	return nil
}

// script makes nft's own language of commands that a person would type.
func script(commands string) string {
	return strings.ReplaceAll("\n"+commands+"\n", "\nnft ", "\n")[1:]
}
