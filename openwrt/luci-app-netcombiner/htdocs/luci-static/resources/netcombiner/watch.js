'use strict';
'require baseclass';
'require poll';

/* What is asked again and again while somebody looks. */
return baseclass.extend({
	/* every asks every so many seconds while this tab of the browser is to be seen, and shows
	   the answer. Nothing is asked again before there is one; a router that gives none, as while
	   its network restarts, is asked the next time. */
	every(seconds, ask, show) {
		poll.add(() => document.hidden ? Promise.resolve() : ask().then(show, () => null), seconds);
	}
});
