'use strict';
'require view';
'require netcombiner.daemon as daemon';
'require netcombiner.parts';
'require netcombiner.watch as watch';

/* global daemon, watch */

/* What the system's log has of netcombiner, the latest at the end. */

const lines = 500;

/* The daemon's own level counts: procd calls every line of a program's an error. */
function kind(line) {
	const level = line.match(/level"?[=:]"?(\w+)/);
	return level ? { ERROR: 'nc-error', WARN: 'nc-warn' }[level[1]] : null;
}

/* The system's time is enough, and whose line it is everybody knows here. */
function shorter(line) {
	return line.replace(/ daemon\.\w+ netcombiner(\[\d+\])?: (time=\S+ )?/, '  ').replace(/ {2}level=(\w+) /, '  $1 ');
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
