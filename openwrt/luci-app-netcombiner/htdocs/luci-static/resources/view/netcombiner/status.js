'use strict';
'require view';
'require netcombiner.daemon as daemon';
'require netcombiner.panel as panel';
'require netcombiner.parts as parts';
'require netcombiner.watch as watch';

/* global daemon, panel, parts, watch */

/* How each tunnel and its paths are, every two seconds. */
return view.extend({
	load() {
		return daemon.status();
	},

	render(first) {
		const empty = parts.noTunnel();
		const list = E('div');
		let panels = {};

		const show = answer => {
			const tunnels = answer.tunnels || {}, problems = answer.problems || {};
			const now = {};
			for (const name in tunnels) {
				now[name] = panels[name] || panel.create(name);
				now[name].show(tunnels[name], problems[name] || []);
			}
			for (const name in panels)
				if (!now[name])
					panels[name].node.remove();
			for (const name in now)
				if (!panels[name])
					list.appendChild(now[name].node);
			panels = now;
			empty.hidden = Object.keys(now).length > 0;
		};

		show(first);
		watch.every(2, daemon.status, show);
		return E('div', { 'class': 'nc' }, [ E('h2', [ _('Netcombiner') ]), empty, list ]);
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
