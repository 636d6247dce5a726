'use strict';
'require baseclass';
'require netcombiner.daemon as daemon';
'require netcombiner.graph as graph';
'require netcombiner.parts as parts';
'require netcombiner.words as words';

/* global daemon, graph, parts, words */

/* A path on the page Status: made once, then only what changed is written. */

function quotaText(quota) {
	const text = _('%s of %s used').format(words.size(quota.used_bytes), words.size(quota.limit_bytes));
	return quota.resets ? _('%s, anew on %s').format(text, quota.resets) : text;
}

const Card = baseclass.extend({
	__init__(tunnel, name) {
		this.tunnel = tunnel;
		this.name = name;
		this.graph = graph.create(name);
		this.state = parts.badge();
		this.share = E('span', { 'class': 'nc-share' });
		this.rates = parts.rates();
		this.facts = parts.facts([ _('RTT'), _('Loss'), _('By') ]);
		this.quota = parts.meter(_('Quota'));
		this.toggle = parts.button('', () => this.turn());
		this.node = E('article', { 'class': 'nc-card', 'data-path': name, 'aria-label': _('Path %s').format(name) }, [
			E('div', { 'class': 'nc-head' }, [ E('h4', [ name ]), this.state.node, this.share ]),
			this.rates.node,
			this.graph.node,
			this.facts.node,
			this.quota.node,
			E('div', { 'class': 'nc-foot' }, [ this.toggle ])
		]);
	},

	turn() {
		return parts.done(daemon.path(this.tunnel, this.name, this.last.state == 'down'));
	},

	/* show writes what the daemon says of the path, and what the meter made of it. */
	show(path, history, share, top, local) {
		const off = path.state == 'down';
		const works = path.state == 'up' || path.state == 'standby';
		this.last = path;
		this.state.show(path.state, words.state(path.state), _('for %s').format(words.duration(path.state_s)));
		parts.write(this.share, works ? _('%s of traffic').format(words.percent(share)) : '');
		this.rates.show(history.now());
		this.graph.draw(history, top);
		this.facts.show([
			path.rtt_ms > 0 ? _('%s, lowest %s').format(words.time(path.rtt_ms), words.time(path.rtt_min_ms)) : '–',
			words.loss(path.loss),
			'%s, %s'.format(path.transport, _('metric %d').format(path.metric))
		]);
		this.facts.title('%s → %s'.format(path.local, path.remote));
		this.quota.show(path.quota && path.quota.used_bytes / path.quota.limit_bytes, path.quota && quotaText(path.quota));
		parts.write(this.toggle, off ? _('Use again') : _('Stop using'));
		this.toggle.title = off ? _('The path carries traffic again') : _('Until it is used again or the tunnel restarts; nothing is saved');
		this.toggle.setAttribute('aria-label', '%s: %s'.format(this.name, this.toggle.textContent));
		this.toggle.parentNode.hidden = !local;
	}
});

return baseclass.extend({
	create(tunnel, name) {
		return new Card(tunnel, name);
	}
});
