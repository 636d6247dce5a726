package main

import (
	"fmt"
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

// version is that of all packages: 1.2.3, and a release that grows with each
// commit after it.
type version struct {
	number, release string
	built           time.Time
	commit          string
	changed         bool // since the commit, which then is not said
}

// versionOf is that of a repository's commit: v1.2.3 and four commits are
// 1.2.3-r5, and v1.2.3-rc1 is 1.2.3~rc1-r1. Before the first tag the commits
// are counted. number, if there is one, stands for that of git. What was changed
// since and not committed is packed, too, as a preview: 1.2.3~pre-r5 is older than
// all of 1.2.3, and no router takes it for an upgrade. No suffix of apk's would
// put it between two commits.
func versionOf(repo, number string) (version, error) {
	git := func(args ...string) (string, error) {
		command := exec.Command("git", append([]string{"-C", repo}, args...)...)
		out, err := command.Output()
		return strings.TrimSpace(string(out)), err
	}
	commit, err := git("rev-parse", "HEAD")
	if err != nil {
		return version{}, fmt.Errorf("%s: no commit of git to make packages of: %w", repo, err)
	}
	v := version{number: number, release: "1", commit: commit}
	if v.built, err = builtAt(git); err != nil {
		return version{}, err
	}
	changes, err := git("status", "--porcelain", "--untracked-files=normal")
	if err != nil {
		return version{}, err
	}
	if v.changed = changes != ""; v.changed {
		v.commit = ""
	}
	if number != "" {
		if !given.MatchString(number) {
			return version{}, fmt.Errorf("VERSION=%s: such as 1.2.3 or 1.2.3~rc1", number)
		}
		return v, nil
	}
	if text, none := git("describe", "--tags", "--long", "--match", "v[0-9]*"); none != nil {
		v.number = "0.0.0"
		v.release, err = git("rev-list", "--count", "HEAD")
	} else {
		v.number, v.release, err = parseDescribed(text)
	}
	if v.changed {
		v.number += "~pre"
	}
	return v, err
}

func parseDescribed(text string) (number, release string, err error) {
	m := described.FindStringSubmatch(text)
	if m == nil {
		return "", "", fmt.Errorf("%s: no version that OpenWrt can tell the order of: a tag is to be such as v1.2.3 or v1.2.3-rc1", text)
	}
	if m[2] != "" {
		m[1] += "~" + m[2] + m[3]
	}
	n, err := strconv.Atoi(m[4])
	return m[1], strconv.Itoa(n + 1), err
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
