'use strict';
'require baseclass';
'require netcombiner.card as card';
'require netcombiner.daemon as daemon';
'require netcombiner.graph as graph';
'require netcombiner.meter as meter';
'require netcombiner.parts as parts';
'require netcombiner.words as words';

/* global card, daemon, graph, meter, parts, words */

/* A tunnel on the page Status, with its paths. */

/* What is thrown away unanswered, and what each kind means. */
const rejections = [
	[ 'mac', _('Wrong key'), _('not made with this tunnel\'s key, or not in this session') ],
	[ 'replay', _('Repeated'), _('seen before, too old, or not proved fresh') ],
	[ 'malformed', _('Not ours'), _('not of our format: scanners, or another program') ],
	[ 'source', _('Not allowed'), _('from an address that is not allowed to connect') ]
];

function table(titles, rows, empty) {
	if (rows.length == 0)
		return E('p', [ E('em', [ empty ]) ]);
	return E('table', { 'class': 'nc-table' }, [
		E('tr', titles.map(title => E('th', { 'scope': 'col' }, [ title ]))),
		...rows.map(row => E('tr', row.map((text, i) => E(i ? 'td' : 'th', { 'scope': i ? null : 'row' }, [ text ]))))
	]);
}

/* The months that `netcombiner show` has, too: this one and the one before. */
function months(totals) {
	const rows = [];
	for (const month of (totals || []).slice(0, 2)) {
		const name = month.month || _('clock not set');
		rows.push([ _('%s, in the tunnel').format(name), words.size(month.tunnel.rx.bytes), words.size(month.tunnel.tx.bytes) ]);
		for (const path of month.paths)
			rows.push([ '%s, %s'.format(name, path.name), words.size(path.rx.bytes), words.size(path.tx.bytes) ]);
	}
	return table([ _('Month'), _('In', 'traffic'), _('Out', 'traffic') ], rows, _('Nothing was counted yet.'));
}

function rejected(counts) {
	const rows = rejections.filter(kind => counts[kind[0]] > 0)
		.map(kind => [ kind[1], String(counts[kind[0]]), kind[2] ]);
	return table([ _('Rejected'), _('Packets'), _('Meaning') ], rows, _('Nothing was rejected.'));
}

const Panel = baseclass.extend({
	__init__(name) {
		this.name = name;
		this.meter = meter.create();
		this.cards = {};
		this.badge = parts.badge();
		this.summary = E('span', { 'class': 'nc-summary' });
		this.notes = parts.notes();
		this.rates = parts.rates();
		this.graph = graph.create(_('Tunnel %s').format(name));
		this.list = E('div', { 'class': 'nc-cards' });
		this.facts = parts.facts([ _('Received'), _('Sent'), _('Waiting'), _('Dropped here'), _('Put in order late'), _('MTU') ]);
		this.tables = E('div', { 'class': 'nc-tables' });
		this.restart = parts.button(_('Restart'), () => this.act('restart'));
		this.toggle = parts.button(_('Stop'), () => this.act(this.running ? 'stop' : 'start'));
		this.body = E('div', [ this.rates.node, this.graph.node, this.list, this.facts.node, this.tables ]);
		this.node = E('section', { 'class': 'cbi-section nc-tunnel', 'data-tunnel': name, 'aria-label': _('Tunnel %s').format(name) }, [
			E('div', { 'class': 'nc-head' }, [ E('h3', [ name ]), this.badge.node, this.summary, E('span', { 'class': 'nc-actions' }, [ this.restart, this.toggle ]) ]),
			this.notes.node,
			this.body
		]);
	},

	act(what) {
		return parts.done(daemon.action(this.name, what));
	},

	show(status, problems) {
		this.running = status.error == null;
		this.body.hidden = !this.running;
		this.restart.hidden = !this.running;
		this.toggle.hidden = status.disabled === true;
		parts.write(this.toggle, this.running ? _('Stop') : _('Start'));
		for (const button of [ this.restart, this.toggle ])
			button.setAttribute('aria-label', '%s: %s'.format(this.name, button.textContent));
		if (this.running)
			return this.run(status, problems);
		this.badge.show('down', status.disabled ? _('Disabled') : _('Not running'));
		parts.write(this.summary, '');
		this.notes.show(status.disabled ? problems : [ status.error, ...problems.filter(line => line != status.error) ]);
		this.meter.reset();
	},

	run(status, problems) {
		this.meter.read(status);
		const session = status.session;
		this.badge.show(words.look(session.state), words.session(session.state));
		parts.write(this.summary, [
			status.role == 'remote' ? _('remote end') : _('local end'),
			session.suite || _('no session'),
			_('running for %s').format(words.duration(status.uptime_s))
		].join(' · '));
		this.notes.show([
			...problems,
			...(status.fallback ? [ _('Every path has failed: all traffic goes beside the tunnel.') ] : []),
			...(status.hints || [])
		]);
		this.rates.show(this.meter.tunnel.now());
		this.graph.draw(this.meter.tunnel, graph.top(this.meter.tunnel.most()));
		this.paths(status);
		this.more(status);
	},

	/* paths keeps a card for each path, in the daemon's order. */
	paths(status) {
		const top = graph.top(this.meter.most());
		const cards = {};
		for (const path of status.paths) {
			const one = cards[path.name] = this.cards[path.name] || card.create(this.name, path.name);
			one.show(path, this.meter.paths[path.name], this.meter.share(path.name), top, status.role == 'local');
		}
		this.cards = cards;
		const nodes = Object.values(cards).map(one => one.node);
		if (nodes.length != this.list.children.length || nodes.some((node, i) => node !== this.list.children[i]))
			this.list.replaceChildren(...nodes);
	},

	more(status) {
		const t = status.tunnel;
		this.facts.show([
			words.size(t.rx.bytes),
			words.size(t.tx.bytes),
			'%s, %s'.format(words.packets(t.queue.packets), words.time(t.queue.delay_ms)),
			words.packets(t.queue.dropped),
			words.packets(t.resequencer.released_late),
			String(status.mtu)
		]);
		const shown = JSON.stringify([ status.totals, status.rejected ]);
		if (shown !== this.shown)
			this.tables.replaceChildren(E('div', [ months(status.totals) ]), E('div', { 'class': 'nc-rejected' }, [ rejected(status.rejected) ]));
		this.shown = shown;
	}
});

return baseclass.extend({
	create(name) {
		return new Panel(name);
	}
});
