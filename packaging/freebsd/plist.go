package main

import (
	"errors"
	"fmt"
	"io/fs"
	"os"
	"path"
	"path/filepath"
	"regexp"
	"strconv"
	"strings"
)

// plist reads a port's list of what is packed, and takes it from the stage. What
// it knows: paths, which stand below the prefix unless they begin with a slash;
// @sample FILE [COPY]; @dir; @owner, @group and @mode for what follows; and
// @(owner,group,mode) before a path, or (owner,group,mode) after @dir or @sample.
type plist struct {
	p            *Package
	stage        string
	owner, group string
	mode         string // octal; empty for the stage's
	seen         map[string]bool
}

// readPlist packs what a list says, and all of it: a staged file that no line
// names is an error, as is a line without one.
func readPlist(p *Package, text, stage string) error {
	l := plist{p: p, stage: stage, owner: "root", group: "wheel", seen: map[string]bool{}}
	var errs []error
	for line := range strings.Lines(text) {
		if err := l.line(strings.TrimSpace(line)); err != nil {
			errs = append(errs, fmt.Errorf("pkg-plist: %s: %w", strings.TrimSpace(line), err))
		}
	}
	errs = append(errs, l.forgotten())
	p.sort()
	return errors.Join(errs...)
}

var keyword = regexp.MustCompile(`^@([a-z]*)(?:\(([^,()]*),([^,()]*),([^,()]*),?\))?(?:\s+(.*))?$`)

func (l *plist) line(line string) error {
	if line == "" {
		return nil
	}
	if line[0] != '@' {
		return l.file(line, l.owner, l.group, l.mode)
	}
	m := keyword.FindStringSubmatch(line)
	if m == nil {
		return errors.New("no keyword that is known here")
	}
	word, rest := m[1], m[5]
	owner, group, mode := or(m[2], l.owner), or(m[3], l.group), or(m[4], l.mode)
	switch word {
	case "":
		return l.file(rest, owner, group, mode)
	case "sample":
		return l.sample(strings.Fields(rest), owner, group, mode)
	case "dir":
		return l.dir(rest, owner, group, mode)
	case "owner":
		l.owner = or(rest, "root")
	case "group":
		l.group = or(rest, "wheel")
	case "mode":
		l.mode = rest
	case "comment":
	default:
		return fmt.Errorf("@%s is not known here", word)
	}
	return nil
}

func or(a, b string) string {
	if a == "" {
		return b
	}
	return a
}

// absolute is where a path of the list is on the system.
func (l *plist) absolute(name string) string {
	if !path.IsAbs(name) {
		name = path.Join(l.p.Prefix, name)
	}
	return path.Clean(name)
}

func (l *plist) file(name, owner, group, mode string) error {
	file := File{Name: l.absolute(name), Owner: owner, Group: group}
	if l.seen[file.Name] {
		return errors.New("it is there twice")
	}
	staged := filepath.Join(l.stage, file.Name)
	info, err := os.Lstat(staged)
	if err != nil {
		return errors.New("it is not staged")
	}
	l.seen[file.Name] = true
	if file.Mode, err = modeOf(info, mode); err != nil {
		return err
	}
	switch {
	case info.Mode()&fs.ModeSymlink != 0:
		file.Link, err = os.Readlink(staged)
	case info.Mode().IsRegular():
		file.Data, err = os.ReadFile(staged)
	default:
		err = errors.New("only files and links are packed; @dir is for folders")
	}
	l.p.Files = append(l.p.Files, file)
	return err
}

func (l *plist) sample(names []string, owner, group, mode string) error {
	if len(names) == 0 || len(names) > 2 {
		return errors.New("@sample FILE.sample, or @sample FILE COPY")
	}
	copied := strings.TrimSuffix(names[0], ".sample")
	if len(names) == 2 {
		copied = names[1]
	}
	if copied == names[0] {
		return errors.New("it is to end in .sample, or be followed by another name")
	}
	if err := l.file(names[0], owner, group, mode); err != nil {
		return err
	}
	l.p.sample(l.absolute(names[0]), l.absolute(copied))
	return nil
}

// dir packs a folder that may not be staged: pkg makes it.
func (l *plist) dir(name, owner, group, mode string) error {
	perm, err := octal(or(mode, "755"))
	l.p.Dirs = append(l.p.Dirs, File{Name: l.absolute(name), Mode: fs.ModeDir | perm, Owner: owner, Group: group})
	return err
}

// modeOf is the list's mode, if it says one, or the stage's.
func modeOf(info fs.FileInfo, said string) (fs.FileMode, error) {
	if said == "" {
		return info.Mode().Type() | info.Mode().Perm(), nil
	}
	perm, err := octal(said)
	return info.Mode().Type() | perm, err
}

func octal(text string) (fs.FileMode, error) {
	n, err := strconv.ParseUint(text, 8, 9)
	if err != nil {
		return 0, fmt.Errorf("mode %s: three octal digits it is to be", text)
	}
	return fs.FileMode(n), nil
}

// forgotten says which files of the stage no line names.
func (l *plist) forgotten() error {
	var errs []error
	err := filepath.WalkDir(l.stage, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if name := strings.TrimPrefix(file, l.stage); !l.seen[name] {
			errs = append(errs, fmt.Errorf("pkg-plist does not name %s, which is staged", name))
		}
		return nil
	})
	return errors.Join(append(errs, err)...)
}
