'use strict';
'require baseclass';

/* Numbers and states as a person reads them, with the units of `netcombiner show`. */

function scaled(value, units) {
	let i = 0;
	while (value >= 1000 && i < units.length - 1) {
		value /= 1000;
		i++;
	}
	const digits = (i == 0 || value >= 100) ? 0 : (value >= 10) ? 1 : 2;
	return '%s %s'.format(value.toFixed(digits), units[i]);
}

/* (A second word says what a short one is about: LuCI translates "Up" as a direction.) */
const states = {
	up: _('Up', 'path'),
	standby: _('Standby', 'path'),
	connecting: _('Connecting', 'path'),
	failed: _('Failed', 'path'),
	down: _('Off', 'path')
};

return baseclass.extend({
	rate(bps) {
		return bps == null ? '–' : scaled(bps, [ 'bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s' ]);
	},

	size(bytes) {
		return scaled(bytes, [ 'B', 'kB', 'MB', 'GB', 'TB', 'PB' ]);
	},

	packets(n) {
		return N_(n, '%d packet', '%d packets').format(n);
	},

	percent(part) {
		return part == null ? '–' : '%s %%'.format((100 * part).toFixed(0));
	},

	loss(part) {
		return '%s %%'.format((100 * part).toFixed(1));
	},

	time(ms) {
		return ms > 0 ? '%s ms'.format(ms.toFixed(ms < 10 ? 1 : 0)) : '–';
	},

	duration(seconds) {
		const days = Math.floor(seconds / 86400), hours = Math.floor(seconds / 3600) % 24;
		const minutes = Math.floor(seconds / 60) % 60;
		if (days > 0)
			return _('%d d %d h').format(days, hours);
		if (hours > 0)
			return _('%d h %d min').format(hours, minutes);
		if (minutes > 0)
			return _('%d min %d s').format(minutes, seconds % 60);
		return _('%d s').format(seconds);
	},

	state(word) {
		return states[word] || word;
	},

	/* look is the state of a path that a session's looks like. */
	look(state) {
		return { established: 'up', handshake: 'connecting' }[state] || 'down';
	},

	session(state) {
		return { established: _('Connected'), handshake: _('Connecting', 'path') }[state] || _('Not connected');
	}
});
