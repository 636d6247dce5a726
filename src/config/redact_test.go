package config

import (
	"regexp"
	"strings"
	"testing"

	"pgregory.net/rapid"
)

// TestRedact compares with the expression that says it shortest.
func TestRedact(t *testing.T) {
	keyLike := regexp.MustCompile(`[A-Za-z0-9+/]{43,}=?`)
	rapid.Check(t, func(t *rapid.T) {
		piece := rapid.OneOf(
			rapid.StringMatching(`[A-Za-z0-9+/]{40,46}`), rapid.StringMatching(`=*`),
			rapid.StringMatching(`[ ;#é=\x00-]{0,3}`), rapid.String())
		s := strings.Join(rapid.SliceOfN(piece, 0, 8).Draw(t, "pieces"), "")
		if got, want := redact(s), keyLike.ReplaceAllString(s, redacted); got != want {
			t.Fatalf("redact(%q) is %q, not %q", s, got, want)
		}
	})
}
