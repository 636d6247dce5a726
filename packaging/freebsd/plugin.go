package main

import (
	"bytes"
	"compress/gzip"
	"encoding/json"
	"fmt"
	"io/fs"
	"os"
	"path/filepath"
	"slices"
	"strings"
)

// What runs on every FreeBSD and processor, as OPNsense writes it.
const anyABI, anyArch = "FreeBSD:*:*", "freebsd:*:*"

const prefix = "/usr/local"

// pluginMoments are when scripts of a plugin's run, by the names of their files.
var pluginMoments = []struct{ file, when string }{
	{"+PRE_INSTALL", "pre-install"}, {"+POST_INSTALL", "post-install"},
	{"+PRE_DEINSTALL", "pre-deinstall"}, {"+POST_DEINSTALL", "post-deinstall"},
}

// plugin makes the package of a plugin for OPNsense, whose Makefile only says what
// it is called: all below src/ goes where it says, and what has to be told of a
// change is told by what kinds of files there are.
func (t tree) plugin(dir string, made []*Package) (*Package, error) {
	said, err := readPlugin(filepath.Join(dir, "Makefile"))
	if err != nil {
		return nil, err
	}
	descr, err := os.ReadFile(filepath.Join(dir, "pkg-descr"))
	if err != nil {
		return nil, err
	}
	version, revision := number(t.version)
	p := &Package{
		Name: "os-" + said["NAME"], Origin: "opnsense/os-" + said["NAME"], Version: revised(version, revision),
		Comment: said["COMMENT"], Desc: strings.TrimSpace(string(descr)), Maintainer: said["MAINTAINER"], WWW: said["WWW"],
		Prefix: prefix, ABI: anyABI, Arch: anyArch, Categories: []string{filepath.Base(filepath.Dir(dir))}, Licenses: []string{said["LICENSE"]},
		Scripts: map[string]string{}, Lua: map[string][]string{},
	}
	for _, name := range strings.Fields(said["DEPENDS"]) {
		if err := p.depend(made, name, func(other *Package) bool { return other.Name == name }); err != nil {
			return nil, err
		}
	}
	p.Annotations = map[string]string{
		"product_hash": t.version.Commit[:min(9, len(t.version.Commit))], "product_id": p.Name, "product_name": said["NAME"], "product_tier": said["TIER"],
		"product_version": p.Version, "product_email": p.Maintainer, "product_website": p.WWW,
	}
	about, err := json.MarshalIndent(p.Annotations, "", "    ")
	if err != nil {
		return nil, err
	}
	p.add(prefix+"/opnsense/version/"+said["NAME"], 0o644, append(about, '\n'))
	if err := p.installSource(dir, said); err != nil {
		return nil, err
	}
	p.sort()
	p.tellOPNsense(dir, said)
	return p, nil
}

func revised(version, revision string) string {
	if revision == "0" {
		return version
	}
	return version + "_" + revision
}

// readPlugin reads a plugin's Makefile: lines as PLUGIN_NAME= netcombiner.
func readPlugin(file string) (map[string]string, error) {
	text, err := os.ReadFile(file)
	if err != nil {
		return nil, err
	}
	said := map[string]string{"LICENSE": "BSD2CLAUSE", "TIER": "3", "WWW": "https://opnsense.org/"}
	known := []string{"NAME", "VERSION", "REVISION", "COMMENT", "MAINTAINER", "WWW", "LICENSE", "TIER", "DEPENDS", "NO_ABI"}
	for line := range strings.Lines(string(text)) {
		line = strings.TrimSpace(line)
		if line == "" || line[0] == '#' || line[0] == '.' {
			continue
		}
		name, value, ok := strings.Cut(line, "=")
		name, ours := strings.CutPrefix(strings.TrimSpace(name), "PLUGIN_")
		if !ok || !ours || !slices.Contains(known, name) {
			return nil, fmt.Errorf("%q: only PLUGIN_%s= are known here", line, strings.Join(known, "=, PLUGIN_"))
		}
		said[name] = strings.TrimSpace(value)
	}
	for _, name := range []string{"NAME", "VERSION", "COMMENT", "MAINTAINER"} {
		if said[name] == "" {
			return nil, fmt.Errorf("it says no PLUGIN_%s", name)
		}
	}
	return said, nil
}

// replaced puts what is known of a plugin for %%PLUGIN_…%%.
func (p *Package) replaced(text []byte, said map[string]string) []byte {
	for name, value := range map[string]string{
		"NAME": said["NAME"], "PKGNAME": p.Name, "PKGVERSION": p.Version, "MAINTAINER": p.Maintainer, "WWW": p.WWW,
		"TIER": said["TIER"], "HASH": p.Annotations["product_hash"],
	} {
		text = bytes.ReplaceAll(text, []byte("%%PLUGIN_"+name+"%%"), []byte(value))
	}
	return text
}

// installSource packs what is below src/.
func (p *Package) installSource(dir string, said map[string]string) error {
	src := filepath.Join(dir, "src")
	return filepath.WalkDir(src, func(file string, entry fs.DirEntry, err error) error {
		if err != nil || entry.IsDir() {
			return err
		}
		if !entry.Type().IsRegular() {
			return fmt.Errorf("%s: only files are packed", file)
		}
		info, err := entry.Info()
		if err != nil {
			return err
		}
		data, err := os.ReadFile(file)
		if err != nil {
			return err
		}
		mode := fs.FileMode(0o644) // whatever the umask of who checked it out
		if info.Mode()&0o100 != 0 {
			mode = 0o755
		}
		name := filepath.Join(prefix, strings.TrimPrefix(file, src))
		if plain, ok := strings.CutSuffix(name, ".in"); ok {
			name, data = plain, p.replaced(data, said)
		}
		if strings.HasPrefix(name, prefix+"/man/") {
			name += ".gz"
			if data, err = gzipped(data); err != nil {
				return err
			}
		}
		p.add(name, mode, data)
		if copied, ok := strings.CutSuffix(name, ".sample"); ok {
			p.sample(name, copied)
		}
		return nil
	})
}

func gzipped(data []byte) ([]byte, error) {
	var out bytes.Buffer
	w, err := gzip.NewWriterLevel(&out, gzip.BestCompression)
	if err != nil {
		return nil, err
	}
	if _, err := w.Write(data); err != nil {
		return nil, err
	}
	err = w.Close()
	return out.Bytes(), err
}

// tellOPNsense makes the scripts: the parts that the kinds of files ask for, and
// the plugin's own: NAME.pre and NAME.post around those, or NAME instead.
func (p *Package) tellOPNsense(dir string, said map[string]string) {
	parts := p.systemParts()
	for _, moment := range pluginMoments {
		own := func(suffix string) string {
			text, _ := os.ReadFile(filepath.Join(dir, moment.file+suffix)) // there need not be one
			return string(p.replaced(text, said))
		}
		script := own(".pre") + parts[moment.when] + own(".post")
		if alone := own(""); alone != "" {
			script = alone
		}
		if script != "" {
			p.Scripts[moment.when] = script
		}
	}
}

// systemParts are what OPNsense has to be told when these files come or go: new
// actions, models whose configuration may be older, that there are other services,
// and templates.
func (p *Package) systemParts() map[string]string {
	parts := map[string]string{}
	add := func(when, program, args string) {
		// The package may be in a system without it.
		line := "if [ -x " + program + " ]; then " + program + args + "; fi\n"
		if !strings.Contains(parts[when], line) {
			parts[when] += line
		}
	}
	if len(p.below("service/conf/actions.d")) > 0 {
		add("post-install", prefix+"/etc/rc.d/configd", " restart")
	}
	models := p.below("mvc/app/models")
	for _, model := range models {
		add("post-install", prefix+"/opnsense/mvc/script/run_migrations.php", " "+model)
	}
	if len(models) > 0 {
		add("post-install", prefix+"/etc/rc.configure_plugins", " POST_INSTALL")
		add("post-deinstall", prefix+"/etc/rc.configure_plugins", " POST_DEINSTALL")
	}
	for _, template := range p.below("service/templates") {
		add("post-install", prefix+"/sbin/configctl", " template reload "+template)
	}
	return parts
}

// below are the two folders, OPNsense/Netcombiner, of each file below one of
// OPNsense's, or less of what lies less deep.
func (p *Package) below(folder string) (names []string) {
	for _, file := range p.Files {
		if rest, ok := strings.CutPrefix(file.Name, prefix+"/opnsense/"+folder+"/"); ok {
			parts := strings.Split(rest, "/")
			names = append(names, strings.Join(parts[:min(2, len(parts)-1)], "/"))
		}
	}
	return names
}
