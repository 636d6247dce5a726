'use strict';
'require baseclass';
'require uci';
'require ui';
'require netcombiner.daemon as daemon';

/* global daemon */

/* What no field by itself tells is judged as a whole, once it is saved: two paths of one
   name, or a tunnel without a path. */

function refusals() {
	const names = uci.sections('netcombiner', 'tunnel').filter(tunnel => tunnel.enabled != '0').map(tunnel => tunnel['.name']);
	return Promise.all(names.map(name => L.resolveDefault(daemon.whole(name), {}).then(answer =>
		answer.ok === false ? (answer.problems || [ answer.message ]).map(line => '%s: %s'.format(name, line)) : []
	))).then(all => all.flat());
}

return baseclass.extend({
	/* staged applies what LuCI has saved, unless the daemon would refuse it. */
	staged(mode) {
		return refusals().then(lines => {
			if (lines.length == 0)
				return ui.changes.apply(mode == '0');
			ui.addNotification(_('Saved, but not applied'), E('div', lines.map(line => E('p', [ line ]))), 'danger');
		});
	}
});
