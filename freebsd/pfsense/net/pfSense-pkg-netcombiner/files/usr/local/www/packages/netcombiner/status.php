<?php
/* What the tunnels do: rates, RTT, loss, share, quota of each path, as they are now. */

##|+PRIV
##|*IDENT=page-status-netcombiner
##|*NAME=Status: netcombiner
##|*DESCR=Allow access to the 'Status: netcombiner' page, which shows no key and changes nothing.
##|*MATCH=packages/netcombiner/status.php*
##|-PRIV

require_once('guiconfig.inc');
require_once('netcombiner/netcombiner.inc');

$pgtitle = [gettext('Status'), 'netcombiner'];
$pglinks = ['', '@self'];
$shortcut_section = 'netcombiner';
include('head.inc');
netcombiner_tabs('status');

$words = [
	'up' => gettext('Up'), 'standby' => gettext('Standby'), 'connecting' => gettext('Connecting'), 'failed' => gettext('Failed'), 'down' => gettext('Off'),
	'established' => gettext('Connected'), 'handshake' => gettext('Connecting'),
	'path' => gettext('Path'), 'state' => gettext('State'), 'transport' => gettext('Transport'), 'way' => gettext('From → to'), 'metric' => gettext('Metric'),
	'in' => gettext('In'), 'out' => gettext('Out'), 'rtt' => gettext('RTT'), 'loss' => gettext('Loss'), 'share' => gettext('Share'), 'quota' => gettext('Quota'),
	'for' => gettext('runs for'), 'none' => gettext('No tunnel is enabled: see Tunnels, and paste a token there.'),
	'silent' => gettext('This firewall does not answer. Are you still logged in?'),
];
?>
<div id="netcombiner" data-words="<?=htmlspecialchars(json_encode($words))?>"></div>
<script type="text/javascript" src="/packages/netcombiner/status.js?v=<?=filemtime(__DIR__ . '/status.js')?>"></script>
<?php
include('foot.inc');
