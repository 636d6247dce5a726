package main

import (
	"os"
	"os/exec"
	"path/filepath"
	"slices"
	"strings"
	"testing"
)

func isCold(pkg string) bool {
	return slices.ContainsFunc(cold, func(pattern string) bool { return matches(pattern, pkg) })
}

// matches says whether a pattern of the go command's is for a package.
func matches(pattern, pkg string) bool {
	prefix, all := strings.CutSuffix(pattern, "/...")
	return pkg == prefix || all && strings.HasPrefix(pkg, prefix+"/")
}

// A pattern of no package would save nothing.
func TestColdPackagesAreThere(t *testing.T) {
	list := goList(t)
	for _, pattern := range cold {
		if !slices.ContainsFunc(list, func(pkg string) bool { return matches(pattern, pkg) }) {
			t.Errorf("%s is no part of the daemon", pattern)
		}
	}
}

// rare are functions, by how they begin, that no frame waits for: they run at the
// start, upon a change, once a second or for a session's new keys.
var rare = []string{
	"clients.Serve", "handshake.", "portal.(*Portal).apply", "portal.(*Portal).awaitEnds", "portal.(*Portal).enforceQuota",
	"portal.(*quotas)", "portal.(*tally)", "portal.(*shrinker).shrink", "portal.New",
	"quota.", "session.(*Session).Handle", "session.(*Session).retry", "session.(*hello)", "session.hello", "transport/ip.New",
	"transport/tcp.(*Listener).Addr", "transport/tcp.newFlow", "tundevice.(*TUN).Leave", "tundevice.(*system).close",
	"tundevice.(*system).start", "tundevice.Free", "tundevice.addAddress", "tundevice.address", "tundevice.explainKind", "tundevice.from", "tundevice.removeAddress",
	"tundevice.set", "udpsocket.(*zones).nameOf", "udpsocket.AcceptStream", "udpsocket.DialRaw", "udpsocket.Listen",
}

// words are packages and functions that say something to a person. Whoever calls
// them is not in a hurry: it fails, or a path comes or goes.
var words = []string{"fmt.", "log/slog.", "context.Background"}

// What touches each frame is compiled as everywhere else: whatever package of
// ours is not cold calls nothing more often than where all may be inlined.
func TestFramesStayHot(t *testing.T) {
	everywhere, here := calls(t, ""), calls(t, goFlags())
	seen := map[string]bool{}
	for function, callees := range here {
		name, ours := strings.CutPrefix(function, "netcombiner/src/")
		pkg, _, _ := strings.Cut(name, ".")
		if _, hot := everywhere[function]; !ours || !hot || isCold("netcombiner/src/"+pkg) {
			continue // or it is a copy of its own of what is inlined there
		}
		if strings.Contains(name, "[") && !strings.Contains(name, "[go.shape.") {
			continue // what hands on to a generic function for its shape; those call that themselves
		}
		seen[pkg] = true
		for callee, n := range callees {
			if n > everywhere[function][callee] && !begins(callee, words) && !begins(callee, []string{"runtime."}) && !begins(name, rare) {
				t.Errorf("%s calls %s in %d places, and everywhere else in %d", function, callee, n, everywhere[function][callee])
			}
		}
	}
	for _, pkg := range goList(t) {
		if name, ours := strings.CutPrefix(pkg, "netcombiner/src/"); ours && !isCold(pkg) && !seen[name] {
			t.Errorf("no function of %s was seen", name)
		}
	}
}

func begins(name string, prefixes []string) bool {
	return slices.ContainsFunc(prefixes, func(prefix string) bool { return strings.HasPrefix(name, prefix) })
}

// calls are how often each of the daemon's functions calls which others.
func calls(t *testing.T, flags string) map[string]map[string]int {
	t.Helper()
	program := filepath.Join(t.TempDir(), "netcombiner")
	build := exec.Command("go", append(append([]string{"build", "-trimpath", "-o", program}, strings.Fields(flags)...), "./src/cmd/netcombiner")...)
	build.Dir, build.Env = repo(t), append(os.Environ(), "GOOS=linux", "GOARCH=arm64", "CGO_ENABLED=0")
	if out, err := build.CombinedOutput(); err != nil {
		t.Fatalf("%v: %s", err, out)
	}
	out, err := exec.Command("go", "tool", "objdump", "-s", "^netcombiner/src/", program).Output()
	if err != nil {
		t.Fatal(err)
	}
	all := map[string]map[string]int{}
	var function string
	for line := range strings.SplitSeq(string(out), "\n") {
		if name, ok := strings.CutPrefix(line, "TEXT "); ok {
			function, _, _ = strings.Cut(name, "(SB)")
			all[function] = map[string]int{}
		} else if _, callee, ok := strings.Cut(line, "CALL "); ok {
			if callee, ok = strings.CutSuffix(strings.TrimSpace(callee), "(SB)"); ok {
				all[function][callee]++
			}
		}
	}
	return all
}
