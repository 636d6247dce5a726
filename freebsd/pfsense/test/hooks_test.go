package pfsense

import (
	"encoding/xml"
	"os"
	"strings"
	"testing"
)

// manifest is what pfSense reads of netcombiner.xml.
type manifest struct {
	Name    string `xml:"name"`
	Include string `xml:"include_file"`
	Menus   []struct {
		URL string `xml:"url"`
	} `xml:"menu"`
	Service struct {
		RCFile string `xml:"rcfile"`
		Start  string `xml:"startcmd"`
		Stop   string `xml:"stopcmd"`
		Status string `xml:"custom_php_service_status_command"`
	} `xml:"service"`
	Plugins   []string `xml:"plugins>item>type"`
	Rules     string   `xml:"filter_rules_needed"`
	Kept      string   `xml:"ramdisk_dir_names"`
	Install   string   `xml:"custom_php_install_command"`
	Deinstall string   `xml:"custom_php_pre_deinstall_command"`
	Resync    string   `xml:"custom_php_resync_config_command"`
}

func readManifest(t *testing.T) (m manifest) {
	t.Helper()
	text, err := os.ReadFile(files + "/pkg/netcombiner.xml")
	if err == nil {
		err = xml.Unmarshal(text, &m)
	}
	if err != nil {
		t.Fatal(err)
	}
	return m
}

// here is a command of the manifest with the package's files where they are in the test.
func here(command string) string {
	return strings.ReplaceAll(command, "/usr/local/pkg/", "")
}

// pfSense evaluates each command by itself, and finds the functions that it calls plugins by.
func TestManifest(t *testing.T) {
	m := readManifest(t)
	f := newHome(t)
	same(t, "kept of a RAM disk's /var/db", m.Kept, "netcombiner")
	same(t, "rcfile, which pfSense deletes with the package", m.Service.RCFile, "")
	for _, name := range append(m.Plugins, "") {
		function := "netcombiner_" + name
		if name == "" {
			function = m.Rules
		}
		same(t, function, f.php("return function_exists('"+function+"');"), "true")
	}
	for _, menu := range m.Menus {
		if _, err := os.Stat(pages + strings.TrimPrefix(menu.URL, "/packages/netcombiner/")); err != nil {
			t.Error(err)
		}
	}
	if _, err := os.Stat(strings.Replace(m.Include, "/usr/local", files, 1)); err != nil {
		t.Error(err)
	}
	f.calls()
	same(t, "status", f.php("eval('$rc="+strings.ReplaceAll(here(m.Service.Status), "'", `\'`)+";'); return $rc;"), "false")
	f.php(here(m.Service.Start))
	same(t, "start", f.calls(), []string{"rc.d/netcombiner onerestart nc0"})
	same(t, "status", f.php("eval('$rc="+strings.ReplaceAll(here(m.Service.Status), "'", `\'`)+";'); return $rc;"), "true")
	f.php(here(m.Service.Stop))
	same(t, "stop", f.calls(), []string{"rc.d/netcombiner onestop nc0"})
}

// Installing adds one command to the boot, however often; removing takes that one alone, stops
// the tunnels, and leaves what is configured.
func TestInstall(t *testing.T) {
	m := readManifest(t)
	f := newFirewall(t)
	f.php("config_set_path('system/earlyshellcmd', ['/bin/mine']); write_config('test');")
	f.php(m.Install + m.Install)
	early := `["/bin/mine","/bin/sh /usr/local/pkg/netcombiner/early.sh"]`
	same(t, "boot", f.php("return config_get_path('system/earlyshellcmd');"), early)
	same(t, "enabled", f.php("return netcombiner_enabled();"), "true")

	f = newHome(t)
	f.php(m.Install + m.Resync)
	same(t, "runs", f.exists("runs/nc0"), true)
	f.calls()
	f.php("putenv('PKG_UPGRADE=true');" + m.Deinstall)
	same(t, "upgrade", f.calls(), []string(nil))
	f.php(m.Deinstall)
	same(t, "removed", f.calls(), []string{"rc.d/netcombiner onestop nc0"})
	same(t, "boot", f.php("return config_get_path('system/earlyshellcmd', []);"), `[]`)
	if f.exists("usr/local/etc/netcombiner/nc0.conf") || f.exists("usr/local/etc/rc.conf.d/netcombiner") {
		t.Error("something is left")
	}
	same(t, "tunnels in config.xml", len(f.items("tunnel")), 1)
	same(t, "off stays off", f.php("config_set_path('installedpackages/netcombiner/config/0/enable', 'off');"+m.Install+"return netcombiner_enabled();"), "false")
}

// One command at boot, written by another package or an old pfSense, is no list.
func TestOneCommandAtBoot(t *testing.T) {
	f := newFirewall(t)
	same(t, "boot", f.php("config_set_path('system/earlyshellcmd', '/bin/mine'); netcombiner_install(); return config_get_path('system/earlyshellcmd');"),
		`["/bin/mine","/bin/sh /usr/local/pkg/netcombiner/early.sh"]`)
}

// What one firewall sends, by the paths that it names, the other has; an emptied one, too.
func TestCluster(t *testing.T) {
	master, backup := newHome(t), newFirewall(t)
	same(t, "sent", master.php("return netcombiner_plugin_xmlrpc_send([]);"), `["installedpackages/netcombiner"]`)
	sent := master.php("return ['installedpackages' => ['netcombiner' => config_get_path('installedpackages/netcombiner', [])]];")
	got := func(sections string) string {
		return backup.php("foreach (netcombiner_plugin_xmlrpc_recv(json_decode(<<<'END'\n" + sections + "\nEND, true)) as $path => $value) { config_set_path($path, $value); }" +
			"write_config('sync'); netcombiner_plugin_xmlrpc_recv_done([]); return config_get_path('installedpackages/netcombiner', []);")
	}
	same(t, "got", got(sent), master.php("return config_get_path('installedpackages/netcombiner');"))
	same(t, "nc0.conf", backup.ini("nc0"), func() string { master.apply(); return master.ini("nc0") }())
	same(t, "another package's", got(`{"installedpackages":{"other":{}}}`) == "[]", false)
	same(t, "emptied", got(`{"installedpackages":{"netcombiner":[]}}`), "[]")
	same(t, "its tunnel", backup.exists("runs/nc0"), false)
}

// pfSense takes from an assigned interface what it did not give it: the tunnel's addresses and MTU
// come back when the rules are made. One that is not assigned is nobody else's.
func TestAssigned(t *testing.T) {
	f := newHome(t)
	f.apply()
	f.host["devices"] = object{"nc0": object{"mtu": 1500, "addrs": []object{}, "addrs6": []object{{"addr": "fe80::1%nc0"}}}}
	f.calls()
	rules := "return [netcombiner_generate_rules('nat'), netcombiner_generate_rules('filter')];"
	same(t, "rules", f.php(rules), `["",""]`)
	same(t, "not assigned", f.calls(), []string(nil))
	f.host["interfaces"].(object)["opt2"] = object{"descr": "TUNNEL", "if": "nc0"}
	same(t, "rules", f.php(rules), `["",""]`)
	same(t, "assigned", f.calls(), []string{
		"ifconfig nc0 inet 172.19.152.3/31 alias", "ifconfig nc0 inet6 fd19:152::3/127 alias", "ifconfig nc0 mtu 1412",
	})
	f.host["devices"] = object{"nc0": object{"mtu": 1412, "addrs": []object{{"addr": "172.19.152.3"}}, "addrs6": []object{{"addr": "fd19:152:0::3"}}}}
	f.php(rules)
	same(t, "all there", f.calls(), []string(nil))
	f.ok(os.Remove(f.path("runs/nc0")))
	f.php(rules)
	same(t, "stopped", f.calls(), []string(nil))

	f.apply()
	same(t, "a device that came anew", f.calls(), []string{"rc.d/netcombiner onerestart nc0", "system_routing_configure opt2", "setup_gateways_monitor", "filter_configure"})
}
