<?php
/* A tunnel, a path or a listener. */

##|+PRIV
##|*IDENT=page-vpn-netcombiner
##|*NAME=VPN: netcombiner
##|*DESCR=Allow access to the pages of netcombiner: tunnels, their keys, paths, listeners, status.
##|*MATCH=packages/netcombiner/edit.php*
##|-PRIV

require_once('guiconfig.inc');
require_once('netcombiner/netcombiner.inc');

$kind = netcombiner_kind();
$place = netcombiner_place($kind);
$items = netcombiner_items($kind);
// (head.inc has an $item of its own.)
$edited = $place === null ? netcombiner_new_item($kind) : $items[$place];
$input_errors = [];

/* The page's script asks: the one way by which a key comes out. */
if (in_array(netcombiner_posted('act'), ['keynew', 'keyshow'])) {
	$key = netcombiner_posted('act') == 'keynew' ? netcombiner_new_key() : netcombiner_value($edited, 'secret');
	header('Content-Type: application/json');
	echo json_encode(netcombiner_may_change() ? ['key' => $key] : ['error' => NETCOMBINER_READ_ONLY]);
	exit;
}

if (isset($_POST['save'])) {
	$old = netcombiner_device($edited);
	$edited = netcombiner_input($kind, $_POST, $edited);
	$input_errors = netcombiner_may_change() ? netcombiner_wrong($kind, $edited, $place) : [NETCOMBINER_READ_ONLY];
	if (!$input_errors) {
		$items[$place ?? count($items)] = $edited;
		if ($kind == 'tunnel' && $place !== null) {
			netcombiner_renumber($old, netcombiner_device($edited));
		}
		if (netcombiner_save($kind, $items, "{$kind} saved")) {
			header("Location: /packages/netcombiner/list.php?kind={$kind}");
			exit;
		}
		$input_errors[] = NETCOMBINER_READ_ONLY;
	}
}

$pgtitle = [gettext('VPN'), 'netcombiner', gettext(NETCOMBINER_KINDS[$kind]), gettext('Edit')];
$pglinks = ['', '/packages/netcombiner/list.php', "/packages/netcombiner/list.php?kind={$kind}", '@self'];
$shortcut_section = 'netcombiner';
include('head.inc');

if ($input_errors) {
	print_input_errors($input_errors);
}
netcombiner_tabs($kind);
$form = netcombiner_form($kind, $edited);
$form->setAction("/packages/netcombiner/edit.php?kind={$kind}" . ($place === null ? '' : "&id={$place}"));
print($form);

if ($kind == 'tunnel'):
?>
<script type="text/javascript">
//<![CDATA[
events.push(function() {
	$('#keynew, #keyshow').click(function() {
		$.ajax(window.location.href, { method: 'post', dataType: 'json', data: { act: this.id } }).done(function(answer) {
			if (answer.error) {
				alert(answer.error);
			} else {
				$('#secret').attr('type', 'text').val(answer.key);
			}
		});
	});
});
//]]>
</script>
<?php
endif;
include('foot.inc');
