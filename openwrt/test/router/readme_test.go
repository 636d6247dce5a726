package router

import (
	"os"
	"regexp"
	"strings"
	"testing"
)

// What the READMEs have a reader write into /etc/config/netcombiner is a tunnel that starts.
func TestReadme(t *testing.T) {
	for file, at := range map[string]int{"../../../README.md": 1, "../../README.md": 2} {
		text, err := os.ReadFile(file)
		if err != nil {
			t.Fatal(err)
		}
		found := regexp.MustCompile(`(?m)^    config tunnel.*\n(?:(?:    .*)?\n)*`).FindAllString(string(text), -1)
		if len(found) != at {
			t.Errorf("%s: %d tunnels, want %d", file, len(found), at)
		}
		for _, block := range found {
			uci := strings.ReplaceAll(block, "\n    ", "\n")
			r := newRouter(t)
			r.uci(strings.ReplaceAll(uci[4:], "<the key>", key))
			calls := r.service("start")
			same(t, file, r.problem("nc0"), "")
			same(t, file, r.check("nc0"), "")
			if len(with(calls, "procd_open_instance nc0")) != 1 {
				t.Errorf("%s: this does not start:\n%s", file, uci)
			}
		}
	}
}
