package setup

import (
	"bytes"
	"crypto/sha256"
	"errors"
	"fmt"
	"os"
	"path/filepath"
	"strings"
	"syscall"

	"netcombiner/src/config"
	"netcombiner/src/durable"
)

// A file of ours begins with a line that holds a hash of all that follows: one that
// somebody edited is no longer ours.
const (
	markBegin = `# Written by "netcombiner init", `
	markEnd   = ". Once you edit it, it is yours: init then leaves it alone.\n"
)

// marked is a configuration with the line that makes it ours.
func marked(body string) string { return markBegin + hash(body) + markEnd + body }

func ours(text []byte) bool {
	line, body, _ := bytes.Cut(text, []byte("\n"))
	return string(line)+"\n" == markBegin+hash(string(body))+markEnd
}

func hash(body string) string { return fmt.Sprintf("%x", sha256.Sum256([]byte(body)))[:16] }

// lock keeps another init from changing the same files until release. Its file is root's
// alone: whoever may read a file or a folder may also hold a lock on it, for ever.
func (h *Host) lock() (release func(), err error) {
	if err := os.MkdirAll(h.Dir, 0o755); err != nil {
		return nil, hint(err)
	}
	path := filepath.Join(h.Dir, ".lock")
	f, err := os.OpenFile(path, os.O_RDWR|os.O_CREATE, 0o600)
	if errors.Is(err, syscall.EROFS) {
		return func() {}, nil // nobody else can change anything there, either
	}
	if err != nil {
		return nil, hint(err)
	}
	if err := syscall.Flock(int(f.Fd()), syscall.LOCK_EX|syscall.LOCK_NB); err != nil || !isStill(f, path) {
		f.Close()
		return nil, fmt.Errorf("another netcombiner init is at work in %s: wait for it", h.Dir)
	}
	return func() {
		_ = os.Remove(path)
		f.Close()
	}, nil
}

// isStill says whether path is the file that we have open: its last holder removes it.
func isStill(f *os.File, path string) bool {
	ours, err := f.Stat()
	if err != nil {
		return false
	}
	there, err := os.Lstat(path)
	return err == nil && os.SameFile(ours, there)
}

// existing is a configuration that was there before.
type existing struct {
	text   []byte         // nil: there is none
	ours   bool           // written by us, and not edited since
	config *config.Config // nil: none, or a wrong one
}

func read(path string) (e existing, err error) {
	info, err := os.Lstat(path)
	if errors.Is(err, os.ErrNotExist) {
		return existing{}, nil
	}
	if err == nil && !info.Mode().IsRegular() {
		err = wrong("%s is not a regular file: move it away first", path)
	}
	if err == nil {
		e.text, err = config.ReadFile(path)
	}
	if err != nil {
		return existing{}, err
	}
	e.ours = ours(e.text)
	e.config, _ = config.Parse(path, bytes.NewReader(e.text))
	return e, nil
}

// put makes path hold the configuration, and says what it did. A file that is not ours
// it replaces only by force, and keeps a copy.
func (h *Host) put(path, body string, old existing, force bool) (changed bool, err error) {
	text := marked(body)
	if _, err := config.Parse(path, strings.NewReader(text)); err != nil {
		return false, err // before anything is touched
	}
	switch {
	case string(old.text) == text:
		h.say("%s is right as it is", path)
		return false, protect(path)
	case old.text != nil && !old.ours && !force:
		return false, wrong("%s was not written by netcombiner init, or was edited since: move it away, or replace it with --force, which keeps it as a .bak", path)
	case old.text != nil && force:
		copied, err := keep(path, old.text)
		if err != nil {
			return false, err
		}
		h.say("kept the old file as %s", copied)
	}
	if err := durable.Write(path, []byte(text), 0o600); err != nil {
		return false, hint(err)
	}
	h.say("wrote %s", path)
	return true, nil
}

// protect makes a file root's alone. One that is so already may be on a disk that
// cannot be written.
func protect(path string) error {
	info, err := os.Stat(path)
	if err == nil && info.Mode().Perm() != 0o600 {
		err = os.Chmod(path, 0o600)
	}
	return err
}

// keep copies what is to be replaced. It never replaces an earlier copy.
func keep(path string, text []byte) (name string, err error) {
	for i := 1; i < 100; i++ {
		if name = path + ".bak"; i > 1 {
			name += fmt.Sprint(i)
		}
		if _, err := os.Lstat(name); errors.Is(err, os.ErrNotExist) {
			return name, hint(durable.Write(name, text, 0o600))
		}
	}
	return "", fmt.Errorf("%s.bak to .bak99 are there already: remove some", path)
}

func hint(err error) error {
	if errors.Is(err, os.ErrPermission) {
		return fmt.Errorf("%w: run it as root", err)
	}
	return err
}
