package main

import "strings"

// The scripts leave the work to OpenWrt's own /lib/functions.sh: it enables and
// starts what is in /etc/init.d, and runs /etc/uci-defaults. While an image is
// built IPKG_INSTROOT is its root, which may not have it yet.
const (
	unlessTold = `[ "${IPKG_NO_SCRIPT}" != 1 ] || exit 0` + "\n"
	functions  = `[ -s "${IPKG_INSTROOT}/lib/functions.sh" ] || exit 0` + "\n" + `. "${IPKG_INSTROOT}/lib/functions.sh"` + "\n"
)

// opkgScripts are the maintainer scripts of an ipk. A Makefile's own parts stand
// beside them as NAME-pkg, where functions.sh looks for them.
func opkgScripts(p *Package) map[string]string {
	all := map[string]string{
		"postinst": "#!/bin/sh\n" + unlessTold + functions + `default_postinst "$0" "$@"` + "\n",
		"prerm":    "#!/bin/sh\n" + functions + `default_prerm "$0" "$@"` + "\n",
	}
	for name, text := range p.Scripts {
		switch name {
		case "postinst", "prerm":
			name += "-pkg"
		}
		all[name] = text
	}
	return all
}

// apkScripts are those of an apk, in which a Makefile's own parts follow.
func apkScripts(p *Package) map[string]string {
	named := functions + `export root="${IPKG_INSTROOT}" pkgname="` + p.Name + `"` + "\n"
	install := unlessTold + named + "add_group_and_user\ndefault_postinst\n" + body(p.Scripts["postinst"])
	all := map[string]string{
		"post-install":  "#!/bin/sh\n" + install,
		"post-upgrade":  "#!/bin/sh\nexport PKG_UPGRADE=1\n" + install,
		"pre-deinstall": "#!/bin/sh\n" + named + "default_prerm\n" + body(p.Scripts["prerm"]),
	}
	if text := body(p.Scripts["preinst"]); text != "" {
		all["pre-install"] = "#!/bin/sh\n" + text
		all["pre-upgrade"] = "#!/bin/sh\nexport PKG_UPGRADE=1\n" + text
	}
	if text := body(p.Scripts["postrm"]); text != "" {
		all["post-deinstall"] = "#!/bin/sh\n" + text
	}
	return all
}

// body is a script without its first line's #!.
func body(script string) string {
	script = strings.TrimLeft(script, " \t\n")
	if strings.HasPrefix(script, "#!") {
		_, script, _ = strings.Cut(script, "\n")
	}
	if script != "" && !strings.HasSuffix(script, "\n") {
		script += "\n"
	}
	return script
}
