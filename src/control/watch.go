package control

import (
	"context"
	"io"
	"os"
	"strings"
	"time"

	"golang.org/x/term"
)

// Terminal control sequences (ECMA-48, and xterm's private modes).
const (
	enterScreen = "\x1b[?1049h\x1b[?25l\x1b[?7l" // other screen, no cursor, no wrapping
	leaveScreen = "\x1b[?7h\x1b[?25h\x1b[?1049l"
	cursorHome  = "\x1b[H"
	clearLine   = "\x1b[K"
	clearBelow  = "\x1b[J"
)

// Watch shows draw's text at out, now and at every interval, until ctx ends.
// On a terminal the text stays in its place, and q or Ctrl-C at in end it too;
// elsewhere texts follow each other, with an empty line between.
func Watch(ctx context.Context, in, out *os.File, every time.Duration, draw func() string) error {
	if !term.IsTerminal(int(out.Fd())) {
		gap := ""
		return Repeat(ctx, every, func() error {
			_, err := io.WriteString(out, gap+draw())
			gap = "\n"
			return err
		})
	}
	ctx, cancel := context.WithCancel(ctx)
	defer cancel()
	if fd := int(in.Fd()); term.IsTerminal(fd) {
		if old, err := term.MakeRaw(fd); err == nil {
			defer func() { _ = term.Restore(fd, old) }()
			go func() { // ends with the process: a read of a terminal cannot be called off
				defer cancel()
				waitForKey(in)
			}()
		}
	}
	if _, err := io.WriteString(out, enterScreen); err != nil {
		return err
	}
	defer func() { _, _ = io.WriteString(out, leaveScreen) }()
	return Repeat(ctx, every, func() error {
		_, height, err := term.GetSize(int(out.Fd()))
		if err != nil {
			height = 24
		}
		_, err = io.WriteString(out, frame(draw(), height))
		return err
	})
}

// Repeat calls do now and at every interval, until ctx ends or do fails.
func Repeat(ctx context.Context, every time.Duration, do func() error) error {
	tick := time.NewTicker(every)
	defer tick.Stop()
	for {
		if err := do(); err != nil {
			return err
		}
		select {
		case <-ctx.Done():
			return nil
		case <-tick.C:
		}
	}
}

// frame makes text overwrite the frame before it, without a flicker, and cuts
// what has no room below.
func frame(text string, height int) string {
	lines := strings.Split(strings.TrimRight(text, "\n"), "\n")
	if height > 0 && len(lines) > height {
		lines = lines[:height]
	}
	return cursorHome + strings.Join(lines, clearLine+"\r\n") + clearLine + clearBelow
}

// waitForKey returns at a key that ends the view, or at the end of in.
func waitForKey(in io.Reader) {
	key := make([]byte, 1)
	for {
		n, err := in.Read(key)
		if n == 1 && strings.IndexByte("qQ\x03\x04", key[0]) >= 0 || err != nil {
			return
		}
	}
}
