package control

import (
	"os"
	"strings"

	"golang.org/x/term"
)

// colour is an SGR parameter (ECMA-48), of those that every terminal has.
type colour string

const (
	red    colour = "31"
	green  colour = "32"
	yellow colour = "33"
	cyan   colour = "36"
	grey   colour = "2" // faint: readable on dark and on light
	bold   colour = "1"
)

// paint gives text a colour, where there are any.
func (s Style) paint(c colour, text string) string {
	if !s.Colour || c == "" {
		return text
	}
	return "\x1b[" + string(c) + "m" + text + "\x1b[0m"
}

func (s Style) bold(text string) string { return s.paint(bold, text) }

// StyleFor is what suits out: colours on a terminal that has them, unless
// NO_COLOR (no-color.org) is set; ASCII where the locale says so.
func StyleFor(out *os.File) Style {
	return Style{
		Colour: term.IsTerminal(int(out.Fd())) && os.Getenv("NO_COLOR") == "" && os.Getenv("TERM") != "dumb",
		ASCII:  !utf8Locale(),
	}
}

// utf8Locale says whether the locale's characters are UTF-8. Where none is set,
// as on OpenWrt, the terminal on the other side of ssh knows it.
func utf8Locale() bool {
	for _, name := range []string{"LC_ALL", "LC_CTYPE", "LANG"} {
		if v := strings.ToLower(os.Getenv(name)); v != "" {
			return strings.Contains(v, "utf-8") || strings.Contains(v, "utf8")
		}
	}
	return true
}
