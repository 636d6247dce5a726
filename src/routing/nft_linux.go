package routing

import (
	"bytes"
	"encoding/json"
	"errors"
	"fmt"
	"os"
	"os/exec"
	"strings"
	"syscall"
)

// check reports a missing nft before anything is changed.
func (kernel) check(steps []Step) error {
	for _, s := range steps {
		if s.Ruleset == nil && s.SetChain == nil {
			continue
		}
		if _, err := exec.LookPath("nft"); err != nil {
			return errors.New("Routing = nat and portal need the command nft: install nftables (Debian) or nftables-nojson (OpenWrt)")
		}
	}
	return nil
}

// nft runs the command nft. All that we give it to do may be done twice.
func nft(input string, args ...string) ([]byte, error) {
	out, err := runNFT(input, args...)
	if exit, ok := errors.AsType[*exec.ExitError](err); ok && exit.ExitCode() < 0 {
		// A signal killed it: before it had a group of its own.
		return runNFT(input, args...)
	}
	return out, err
}

func runNFT(input string, args ...string) ([]byte, error) {
	cmd := exec.Command("nft", args...)
	cmd.Stdin = strings.NewReader(input)
	cmd.Env = append(os.Environ(), "LC_ALL=C") // its errors are read
	// A group of its own: a signal to ours (Ctrl-C, timeout(1)) must not kill
	// it in the middle of what undoes the routing.
	cmd.SysProcAttr = &syscall.SysProcAttr{Setpgid: true}
	var out, errs bytes.Buffer
	cmd.Stdout, cmd.Stderr = &out, &errs
	if err := cmd.Run(); err != nil {
		return nil, fmt.Errorf("nft: %w: %s", err, strings.TrimSpace(errs.String()))
	}
	return out.Bytes(), nil
}

// loadRuleset replaces the table in one transaction.
func loadRuleset(r Ruleset) error {
	_, err := nft(fmt.Sprintf("add table inet %[1]s\ndelete table inet %[1]s\ntable inet %[1]s {\n%[2]s}\n", r.Name, r.Body), "-f", "-")
	return err
}

// deleteRuleset deletes the table, which need not be there.
func deleteRuleset(name string) error {
	_, err := nft(fmt.Sprintf("add table inet %[1]s\ndelete table inet %[1]s\n", name), "-f", "-")
	return err
}

// warnings looks for forward chains that drop by default. Where nft was built
// without JSON there are none.
func (kernel) warnings(iface string, _ []Step) (list []string) {
	out, err := nft("", "-j", "list", "chains")
	if err != nil {
		return nil
	}
	for _, chain := range droppingChains(out) {
		list = append(list, fmt.Sprintf("the host's firewall drops what it forwards unless a rule allows it (nft chain %s): "+
			"allow what comes in and goes out by %s there", chain, iface))
	}
	return list
}

// droppingChains lists the base chains of the forward hook whose policy is
// drop, from the output of nft -j list chains.
func droppingChains(text []byte) (chains []string) {
	var list struct {
		Nftables []struct {
			Chain *struct{ Family, Table, Name, Hook, Policy string }
		}
	}
	if json.Unmarshal(text, &list) != nil {
		return nil
	}
	for _, object := range list.Nftables {
		if c := object.Chain; c != nil && c.Hook == "forward" && c.Policy == "drop" {
			chains = append(chains, c.Family+" "+c.Table+" "+c.Name)
		}
	}
	return chains
}
