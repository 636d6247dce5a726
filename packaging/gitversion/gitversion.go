// Package gitversion tells from git which version is packed: the number of the
// last tag, and how many commits follow it. What packs for routers and what packs
// for FreeBSD write it in their own forms.
package gitversion

import (
	"fmt"
	"io"
	"os"
	"os/exec"
	"regexp"
	"strconv"
	"strings"
	"time"
)

var (
	described = regexp.MustCompile(`^v?([0-9]+(?:\.[0-9]+)*)(?:-(alpha|beta|rc)([0-9]*))?-([0-9]+)-g[0-9a-f]+$`)
	given     = regexp.MustCompile(`^[0-9]+(\.[0-9]+)*(~(alpha|beta|rc)[0-9]*)?$`)
)

// Version is that of all packages.
type Version struct {
	Number  string    // 1.2.3, or 1.2.3~rc1, which is before it
	After   int       // how many commits there are since
	Built   time.Time // when the commit was made, or SOURCE_DATE_EPOCH
	Commit  string    // in hex
	Changed bool      // since the commit, which then is not said
}

// Warn tells w that changes are packed which no commit has, under the version as a
// kind of package writes it; nothing where there are none.
func (v Version) Warn(w io.Writer, as string) {
	if v.Changed {
		fmt.Fprintf(w, "uncommitted changes are packed, too, as %s: commit them to pack a version that another can make again\n", as)
	}
}

// Of is the version of a repository's commit: v1.2.3 and four commits are 1.2.3
// and 4, and v1.2.3-rc1 is 1.2.3~rc1. Before the first tag it is 0.0.0 and as many as
// came after the first commit. number, if there is one, stands for that of git.
// What was changed since and not committed is packed, too, as a preview: 1.2.3~pre
// and 4 is older than all of 1.2.3, and nobody's host takes it for an upgrade. No
// suffix of apk's would put it between two commits.
func Of(repo, number string) (Version, error) {
	git := func(args ...string) (string, error) {
		command := exec.Command("git", append([]string{"-C", repo}, args...)...)
		out, err := command.Output()
		return strings.TrimSpace(string(out)), err
	}
	commit, err := git("rev-parse", "HEAD")
	if err != nil {
		return Version{}, fmt.Errorf("%s: no commit of git to make packages of: %w", repo, err)
	}
	v := Version{Number: number, Commit: commit}
	if v.Built, err = builtAt(git); err != nil {
		return Version{}, err
	}
	changes, err := git("status", "--porcelain", "--untracked-files=normal")
	if err != nil {
		return Version{}, err
	}
	if v.Changed = changes != ""; v.Changed {
		v.Commit = ""
	}
	if number != "" {
		if !given.MatchString(number) {
			return Version{}, fmt.Errorf("VERSION=%s: such as 1.2.3 or 1.2.3~rc1", number)
		}
		return v, nil
	}
	if text, none := git("describe", "--tags", "--long", "--match", "v[0-9]*"); none == nil {
		v.Number, v.After, err = parseDescribed(text)
	} else if text, err = git("rev-list", "--count", "HEAD"); err == nil {
		v.Number = "0.0.0"
		v.After, err = strconv.Atoi(text)
		v.After--
	}
	if v.Changed {
		v.Number += "~pre"
	}
	return v, err
}

func parseDescribed(text string) (number string, after int, err error) {
	m := described.FindStringSubmatch(text)
	if m == nil {
		return "", 0, fmt.Errorf("%s: no version whose order a package manager can tell: a tag is to be such as v1.2.3 or v1.2.3-rc1", text)
	}
	if m[2] != "" {
		m[1] += "~" + m[2] + m[3]
	}
	after, err = strconv.Atoi(m[4])
	return m[1], after, err
}

// builtAt is SOURCE_DATE_EPOCH, or the time of the commit: the same commit
// makes the same bytes.
func builtAt(git func(...string) (string, error)) (time.Time, error) {
	text := os.Getenv("SOURCE_DATE_EPOCH")
	if text == "" {
		var err error
		if text, err = git("log", "-1", "--format=%ct"); err != nil {
			return time.Time{}, err
		}
	}
	seconds, err := strconv.ParseInt(text, 10, 64)
	if err != nil || seconds < 0 {
		return time.Time{}, fmt.Errorf("SOURCE_DATE_EPOCH=%s: seconds since 1970", text)
	}
	return time.Unix(seconds, 0).UTC(), nil
}
