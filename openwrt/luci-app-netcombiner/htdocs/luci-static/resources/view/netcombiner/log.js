'use strict';
'require view';
'require netcombiner.daemon as daemon';
'require netcombiner.parts';
'require netcombiner.watch as watch';

/* global daemon, watch */

/* What the system's log has of netcombiner, the latest at the end. */

const lines = 500;

const graves = {
	warning: _('Warning', 'log'),
	error: _('Error', 'log')
};

/* How grave a line is. Where procd wrote it, only the line itself tells: of what the daemon warns
   procd makes errors. */
function grave(line) {
	const own = line.match(/: (?:[\w.-]+: level=|\{"level":")(\w+)/);
	const level = own ? own[1] : (line.match(/ \w+\.(\w+) /) || [])[1];
	return /^warn/i.test(level) ? 'warning' : /^(err|crit|alert|emerg)/i.test(level) ? 'error' : null;
}

/* Of a line's head the system's time is enough: whose it is everybody knows here, and how grave it
   is stands in words. */
function entry(line) {
	const [ , time, text ] = line.match(/^(.*?) \w+\.\w+ netcombiner(?:\[\w+\])*: (.*)$/) || [ null, null, line ];
	const level = grave(line);
	return E('span', { 'class': level ? 'nc-' + level : null }, [
		time ? time + '  ' : null,
		...(level ? [ E('strong', [ graves[level] ]), '  ' ] : []),
		text.replace(/^([\w.-]+: )level=\w+ /, '$1') + '\n'
	]);
}

/* How many of the old lines are gone from the head of the log. */
function gone(old, now) {
	let n = 0;
	while (!old.slice(n).every((line, i) => line === now[i]))
		n++;
	return n;
}

return view.extend({
	load() {
		return daemon.log(lines);
	},

	render(first) {
		const text = E('pre', { 'class': 'nc-log', 'role': 'log', 'tabindex': '0', 'aria-label': _('Log') });
		const empty = E('p', [ E('em', [ _('The log has nothing of netcombiner yet.') ]) ]);
		let shown = [];

		/* Only what is new is written: so it alone is read aloud, and a selection stays. */
		const show = now => {
			/* Whoever reads further up stays there. */
			const atEnd = text.scrollHeight - text.scrollTop - text.clientHeight < 40;
			const left = gone(shown, now);
			for (let i = 0; i < left; i++)
				text.firstChild.remove();
			text.append(...now.slice(shown.length - left).map(entry));
			shown = now;
			text.hidden = now.length == 0;
			empty.hidden = now.length > 0;
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
