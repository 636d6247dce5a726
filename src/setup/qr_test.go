package setup

import (
	"strings"
	"testing"

	"rsc.io/qr"
)

// Each half of each character is the module that the code has there.
func TestQR(t *testing.T) {
	const text = "nc1.AAFrA6FAAAFRgAECAwQFBgcICQoLDA0ODxAREhMUFRYXGBkaGxwdHh8gCzIwMy4wLjExMy4y"
	drawn, err := QR(text)
	if err != nil {
		t.Fatal(err)
	}
	code, err := qr.Encode(text, qr.L)
	if err != nil {
		t.Fatal(err)
	}
	lines := strings.Split(strings.TrimSuffix(drawn, "\n"), "\n")
	if want := (code.Size + 2*quiet + 1) / 2; len(lines) != want {
		t.Fatalf("%d lines, want %d", len(lines), want)
	}
	for i, line := range lines {
		line, begins := strings.CutPrefix(line, "\x1b[40;97m")
		line, ends := strings.CutSuffix(line, "\x1b[0m")
		row := []rune(line)
		if !begins || !ends || len(row) != code.Size+2*quiet {
			t.Fatalf("line %d: %q", i, line)
		}
		for x, r := range row {
			for half, light := range []string{"█▀", "█▄"} {
				if dark := !strings.ContainsRune(light, r); dark != code.Black(x-quiet, 2*i+half-quiet) {
					t.Fatalf("module %d, %d is drawn dark: %v", x, 2*i+half, dark)
				}
			}
		}
	}
	if _, err := QR(strings.Repeat("a", 4000)); err == nil {
		t.Error("no code is so large")
	}
}
