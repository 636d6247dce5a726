'use strict';
'require view';
'require netcombiner.daemon as daemon';
'require netcombiner.parts';
'require netcombiner.watch as watch';

/* global daemon, watch */

/* What the system's log has of netcombiner, the latest at the end. */

const lines = 500;

/* What the daemon warns of, procd calls an error, and all else information. */
function kind(line) {
	return / daemon\.(err|warn)/.test(line) ? 'nc-warn' : null;
}

/* The system's time is enough, and whose line it is everybody knows here. */
function shorter(line) {
	return line.replace(/ daemon\.\w+ netcombiner(\[\d+\])?: /, '  ');
}

return view.extend({
	load() {
		return daemon.log(lines);
	},

	render(first) {
		const text = E('pre', { 'class': 'nc-log', 'role': 'log', 'tabindex': '0', 'aria-label': _('Log') });
		const empty = E('p', [ E('em', [ _('The log has nothing of netcombiner yet.') ]) ]);
		let last = null;

		const show = all => {
			const now = all.join('\n');
			if (now === last)
				return;
			last = now;
			/* Whoever reads further up stays there. */
			const atEnd = text.scrollHeight - text.scrollTop - text.clientHeight < 40;
			text.replaceChildren(...all.map(line => E('span', { 'class': kind(line) }, [ shorter(line) + '\n' ])));
			text.hidden = all.length == 0;
			empty.hidden = all.length > 0;
			if (atEnd)
				text.scrollTop = text.scrollHeight;
		};

		show(first);
		window.requestAnimationFrame(() => { text.scrollTop = text.scrollHeight; });
		watch.every(5, () => daemon.log(lines), show);
		return E('div', { 'class': 'nc' }, [ E('h2', [ _('Netcombiner') ]), empty, text ]);
	},

	handleSave: null,
	handleSaveApply: null,
	handleReset: null
});
