<?php
/* A path of a tunnel over each of several WANs. */

##|+PRIV
##|*IDENT=page-vpn-netcombiner
##|*NAME=VPN: netcombiner
##|*DESCR=Allow access to the pages of netcombiner: tunnels, their keys, paths, listeners, status.
##|*MATCH=packages/netcombiner/wans.php*
##|-PRIV

require_once('guiconfig.inc');
require_once('netcombiner/netcombiner.inc');

$fields = array_intersect_key(netcombiner_fields('path'), array_flip(['of', 'transport', 'remote']));
$input_errors = [];
if (isset($_POST['save'])) {
	$wans = netcombiner_chosen_wans();
	if (!netcombiner_may_change()) {
		$input_errors[] = NETCOMBINER_READ_ONLY;
	} elseif (!$wans) {
		$input_errors[] = 'WANs: none is chosen';
	} else {
		$way = ['transport' => netcombiner_posted('transport'), 'remote' => netcombiner_posted('remote')];
		[$paths, $input_errors] = netcombiner_add_paths(netcombiner_posted('of'), $wans, $way);
	}
	if (!$input_errors && !netcombiner_save('path', $paths, 'paths over the WANs')) {
		$input_errors[] = NETCOMBINER_READ_ONLY;
	}
	if (!$input_errors) {
		header('Location: /packages/netcombiner/list.php?kind=path');
		exit;
	}
}

$pgtitle = [gettext('VPN'), 'netcombiner', gettext('Paths'), gettext('Add from the WANs')];
$pglinks = ['', '/packages/netcombiner/list.php', '/packages/netcombiner/list.php?kind=path', '@self'];
$shortcut_section = 'netcombiner';
include('head.inc');

if ($input_errors) {
	print_input_errors($input_errors);
}
netcombiner_tabs('path');
$form = new Form();
$section = new Form_Section('Add from the WANs');
foreach ($fields as $id => $field) {
	$section->addInput(netcombiner_field($id, $field, netcombiner_posted($id)));
}
$section->addInput(netcombiner_wan_select($_POST ? netcombiner_chosen_wans() : null));
$form->add($section);
print($form);
include('foot.inc');
