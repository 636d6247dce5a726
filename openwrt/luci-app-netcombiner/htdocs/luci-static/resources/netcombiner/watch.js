'use strict';
'require baseclass';
'require poll';

/* What is asked again and again while somebody looks. */
return baseclass.extend({
	/* every has fn called every so many seconds while this tab of the browser is to be seen.
	   fn returns a promise: nothing is asked again before that is kept. */
	every(seconds, fn) {
		poll.add(() => document.hidden ? Promise.resolve() : fn(), seconds);
	}
});
