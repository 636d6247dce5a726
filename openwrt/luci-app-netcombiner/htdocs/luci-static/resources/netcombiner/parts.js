'use strict';
'require baseclass';
'require ui';
'require netcombiner.words as words';

/* global words */

/* Small pieces that the pages are made of. (Text always goes to E in a list: what is not in one
   LuCI takes for HTML, and names and messages come from elsewhere.) Each has a node, and a show that writes only
   what changed: so nothing flickers, and a screen reader is not told the same again. */

document.head.appendChild(E('link', {
	'rel': 'stylesheet',
	'type': 'text/css',
	'href': L.resource('netcombiner/netcombiner.css')
}));

function write(node, text) {
	if (node.textContent !== text)
		node.textContent = text;
}

function facts(names) {
	const values = names.map(() => E('dd'));
	const node = E('dl', { 'class': 'nc-facts' }, names.map((name, i) => E('div', [ E('dt', [ name ]), values[i] ])));
	return {
		node,
		show(texts) {
			texts.forEach((text, i) => write(values[i], text));
		},
		title(text) {
			node.title = text;
		}
	};
}

return baseclass.extend({
	write,
	facts,

	/* A state as a word and a colour. What changes is read aloud. */
	badge() {
		const node = E('span', { 'class': 'nc-badge', 'role': 'status' });
		return {
			node,
			show(state, word, since) {
				node.className = 'nc-badge nc-' + state;
				node.title = since || '';
				write(node, word);
			}
		};
	},

	rates() {
		const into = E('strong'), out = E('strong');
		return {
			node: E('div', { 'class': 'nc-rates' }, [
				E('span', { 'class': 'nc-in' }, [ _('In', 'traffic'), ' ', into ]),
				E('span', { 'class': 'nc-out' }, [ _('Out', 'traffic'), ' ', out ])
			]),
			show(now) {
				write(into, words.rate(now.in));
				write(out, words.rate(now.out));
			}
		};
	},

	/* How much of something is used up; hidden while there is no such thing. */
	meter(name) {
		const bar = E('div', { 'class': 'nc-bar' }, [ E('div') ]);
		const text = E('span');
		const node = E('div', { 'class': 'nc-quota', 'hidden': '' }, [ E('span', { 'class': 'nc-label' }, [ name ]), bar, text ]);
		return {
			node,
			show(part, words) {
				node.hidden = part == null;
				if (part == null)
					return;
				bar.firstElementChild.style.width = '%d%%'.format(Math.min(100, Math.round(100 * part)));
				bar.className = 'nc-bar ' + (part >= 1 ? 'nc-full' : part >= 0.8 ? 'nc-near' : '');
				write(text, words);
			}
		};
	},

	/* Lines that a person should read, absent while there are none. */
	notes() {
		const node = E('div', { 'role': 'status' });
		let last = '[]';
		return {
			node,
			show(lines) {
				const now = JSON.stringify(lines);
				if (now !== last)
					node.replaceChildren(...lines.map(line => E('p', { 'class': 'alert-message warning' }, [ line ])));
				last = now;
			}
		};
	},

	/* What stands where a tunnel would. */
	noTunnel() {
		return E('p', [
			_('There is no tunnel yet.'), ' ',
			E('a', { 'href': L.url('admin/services/netcombiner/tunnel') }, [ _('Set one up') ])
		]);
	},

	button(title, fn) {
		return E('button', {
			'type': 'button',
			'class': 'btn cbi-button cbi-button-neutral',
			'disabled': L.hasViewPermission() ? null : '',
			'click': ui.createHandlerFn(this, fn)
		}, [ title ]);
	},

	/* done tells what the router could not do. */
	done(answer) {
		return answer.then(a => {
			if (a.ok !== true)
				ui.addNotification(null, E('p', [ a.message || _('The router did not answer.') ]), 'danger');
			return a;
		});
	}
});
