<?php
/* The lists of tunnels, paths and listeners. */

##|+PRIV
##|*IDENT=page-vpn-netcombiner
##|*NAME=VPN: netcombiner
##|*DESCR=Allow access to the pages of netcombiner: tunnels, their keys, paths, listeners, status.
##|*MATCH=packages/netcombiner/list.php*
##|-PRIV

require_once('guiconfig.inc');
require_once('netcombiner/netcombiner.inc');

$kind = netcombiner_kind();
$place = netcombiner_place($kind);
$input_errors = [];
$applied = false;

if ($_POST) {
	$items = netcombiner_items($kind);
	if (!netcombiner_may_change()) {
		$input_errors[] = NETCOMBINER_READ_ONLY;
	} elseif (isset($_POST['apply'])) {
		$input_errors = netcombiner_apply();
		$applied = true;
		if (!$input_errors) {
			clear_subsystem_dirty('netcombiner');
		}
	} elseif (netcombiner_posted('act') == 'enable') {
		config_set_path('installedpackages/netcombiner/config/0/enable', netcombiner_enabled() ? 'off' : 'on');
		netcombiner_write(netcombiner_enabled() ? 'enabled' : 'disabled');
	} elseif ($place !== null && netcombiner_posted('act') == 'toggle') {
		$items[$place]['enabled'] = netcombiner_is_on($items[$place]) ? 'no' : 'yes';
		netcombiner_save($kind, $items, "{$kind} toggled");
	} elseif ($place !== null && netcombiner_posted('act') == 'del') {
		if ($kind == 'tunnel') {
			netcombiner_orphan(netcombiner_device($items[$place]));
		}
		unset($items[$place]);
		netcombiner_save($kind, $items, "{$kind} deleted");
	}
}

$pgtitle = [gettext('VPN'), 'netcombiner', gettext(NETCOMBINER_KINDS[$kind])];
$pglinks = ['', '/packages/netcombiner/list.php', '@self'];
$shortcut_section = 'netcombiner';
include('head.inc');

if ($input_errors) {
	print_input_errors($input_errors);
} elseif ($applied) {
	print_apply_result_box(0);
}
if (is_subsystem_dirty('netcombiner')) {
	print_apply_box(gettext('The configuration of netcombiner has been changed.') . '<br />' . gettext('The changes must be applied for them to take effect.'));
}
netcombiner_tabs($kind);

$columns = array_filter(netcombiner_fields($kind), function ($field) {
	return !empty($field['column']) && ($field['as'] ?? '') != 'check';
});
$self = "list.php?kind={$kind}";
?>
<div class="panel panel-default">
	<div class="panel-heading"><h2 class="panel-title"><?=gettext(NETCOMBINER_KINDS[$kind])?></h2></div>
	<div class="panel-body table-responsive">
		<table class="table table-striped table-hover table-condensed table-rowdblclickedit">
			<thead>
				<tr>
<?php foreach ($columns as $field): ?>
					<th><?=htmlspecialchars(gettext($field['label']))?></th>
<?php endforeach; ?>
					<th><?=gettext('Actions')?></th>
				</tr>
			</thead>
			<tbody>
<?php foreach (netcombiner_items($kind) as $i => $item): ?>
				<tr<?=netcombiner_is_on($item) ? '' : ' class="disabled"'?>>
<?php foreach ($columns as $id => $field): ?>
					<td><?=netcombiner_cell($field, $id, $item)?></td>
<?php endforeach; ?>
					<td>
						<a class="fa-solid fa-pencil" title="<?=gettext('Edit')?>" href="edit.php?kind=<?=$kind?>&amp;id=<?=$i?>"></a>
						<a class="<?=netcombiner_is_on($item) ? 'fa-solid fa-ban' : 'fa-regular fa-square-check'?>" title="<?=netcombiner_is_on($item) ? gettext('Disable') : gettext('Enable')?>" href="<?=$self?>&amp;act=toggle&amp;id=<?=$i?>" usepost></a>
						<a class="fa-solid fa-trash-can" title="<?=gettext('Delete')?>" href="<?=$self?>&amp;act=del&amp;id=<?=$i?>" usepost></a>
					</td>
				</tr>
<?php endforeach; ?>
			</tbody>
		</table>
	</div>
</div>

<nav class="action-buttons">
<?php if ($kind == 'tunnel'): ?>
	<a href="<?=$self?>&amp;act=enable" class="btn btn-sm btn-<?=netcombiner_enabled() ? 'warning' : 'success'?>" usepost>
		<i class="fa-solid fa-power-off icon-embed-btn"></i><?=netcombiner_enabled() ? gettext('Disable netcombiner') : gettext('Enable netcombiner')?>
	</a>
	<a href="token.php" class="btn btn-sm btn-primary"><i class="fa-solid fa-paste icon-embed-btn"></i><?=gettext('Paste a token')?></a>
<?php elseif ($kind == 'path'): ?>
	<a href="wans.php" class="btn btn-sm btn-primary"><i class="fa-solid fa-paste icon-embed-btn"></i><?=gettext('Add from the WANs')?></a>
<?php endif; ?>
	<a href="edit.php?kind=<?=$kind?>" class="btn btn-sm btn-success"><i class="fa-solid fa-plus icon-embed-btn"></i><?=gettext('Add')?></a>
</nav>
<?php
include('foot.inc');
