<?php
/* A tunnel from the token that the remote portal printed. */

##|+PRIV
##|*IDENT=page-vpn-netcombiner
##|*NAME=VPN: netcombiner
##|*DESCR=Allow access to the pages of netcombiner: tunnels, their keys, paths, listeners, status.
##|*MATCH=packages/netcombiner/token.php*
##|-PRIV

require_once('guiconfig.inc');
require_once('netcombiner/netcombiner.inc');

$input_errors = [];
if (isset($_POST['save'])) {
	$input_errors = netcombiner_may_change() ?
		netcombiner_set_up(netcombiner_posted('token'), netcombiner_posted('name'), netcombiner_chosen_wans()) : [NETCOMBINER_READ_ONLY];
	if (!$input_errors) {
		header('Location: /packages/netcombiner/list.php?kind=path');
		exit;
	}
}

$pgtitle = [gettext('VPN'), 'netcombiner', gettext('Tunnels'), gettext('Paste a token')];
$pglinks = ['', '/packages/netcombiner/list.php', '/packages/netcombiner/list.php', '@self'];
$shortcut_section = 'netcombiner';
include('head.inc');

if ($input_errors) {
	print_input_errors($input_errors);
}
netcombiner_tabs('tunnel');
$form = new Form();
$section = new Form_Section('Paste a token');
/* Not shown again: it holds the key. */
$section->addInput(new Form_Textarea('token', 'Token', ''))->setAttribute('autocomplete', 'off')
	->setHelp('What "netcombiner init remote" printed at the other end. It holds the key: it is a secret.');
$section->addInput(new Form_Input('name', 'Name', 'text', netcombiner_posted('name')))->setHelp('What the tunnel is called here.');
$section->addInput(netcombiner_wan_select($_POST ? netcombiner_chosen_wans() : null));
$form->add($section);
print($form);
include('foot.inc');
