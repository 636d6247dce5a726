'use strict';
'require baseclass';
'require netcombiner.daemon as daemon';
'require netcombiner.meter as meter';
'require netcombiner.parts as parts';
'require netcombiner.words as words';

/* global daemon, meter, parts, words */

/* The overview's part: one line for each tunnel, and one for each path. LuCI calls load and
   render as often as it polls, and draws what render returns. */

const meters = {};

function badge(state, word) {
	const node = parts.badge();
	node.show(state, word);
	return node.node;
}

function row(title, mark, now, share) {
	return E('tr', { 'class': 'tr' }, [
		E('td', { 'class': 'td left' }, [ title ]),
		E('td', { 'class': 'td left' }, [ mark ]),
		E('td', { 'class': 'td left', 'data-title': _('In', 'traffic') }, [ words.rate(now.in) ]),
		E('td', { 'class': 'td left', 'data-title': _('Out', 'traffic') }, [ words.rate(now.out) ]),
		E('td', { 'class': 'td left', 'data-title': _('Share') }, [ share ])
	]);
}

function rows(name, status) {
	const link = E('a', { 'href': L.url('admin/services/netcombiner/status') }, [ E('strong', [ name ]) ]);
	const nothing = { in: null, out: null };
	if (status.error) {
		delete meters[name];
		return [ row(link, badge('down', status.disabled ? _('Disabled') : _('Not running')), nothing, '') ];
	}
	const m = meters[name] = meters[name] || meter.create();
	m.read(status);
	const state = status.session.state;
	return [
		row(link, badge(words.look(state), words.session(state)), m.tunnel.now(), ''),
		...status.paths.map(path => row(path.name, badge(path.state, words.state(path.state)), m.paths[path.name].now(), words.percent(m.share(path.name))))
	];
}

return baseclass.extend({
	title: _('Netcombiner'),

	load() {
		return daemon.status();
	},

	render(answer) {
		const names = Object.keys(answer && answer.tunnels || {});
		if (names.length == 0)
			return null;
		return E('table', { 'class': 'table' }, [
			E('tr', { 'class': 'tr table-titles' }, [ _('Path'), _('State'), _('In', 'traffic'), _('Out', 'traffic'), _('Share') ].map(title => E('th', { 'class': 'th left' }, [ title ]))),
			...names.flatMap(name => rows(name, answer.tunnels[name]))
		]);
	}
});
