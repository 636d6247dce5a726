'use strict';
'require baseclass';
'require form';
'require netcombiner.daemon as daemon';

/* global daemon */

/* Fields whose values the daemon itself judges, in its own words. The answer takes a moment,
   and LuCI asks for a verdict at once: so while one types the value passes, the answer is
   kept, and has LuCI ask again. Who saves waits for it. */

const patience = 250; // ms after the last key
const most = 500;
const verdicts = new Map();

/* What else the section says, for what must fit together; nothing secret. */
function others(option, section_id) {
	const values = {};
	for (const o of option.section.children) {
		if (o === option || o.password || o.option.startsWith('_') || !o.isActive(section_id))
			continue;
		const value = o.formvalue(section_id);
		if (value != null && value !== '' && value.length !== 0)
			values[o.option] = value;
	}
	return values;
}

function same(a, b) {
	return JSON.stringify(a == null || a.length === 0 ? null : a) === JSON.stringify(b == null || b.length === 0 ? null : b);
}

/* What stands there as it is configured was judged before: it costs the router no question
   as long as nothing beside it changed, and a secret none at all. */
function settled(option, section_id) {
	const unchanged = o => same(o.formvalue(section_id), o.cfgvalue(section_id) ?? o.default);
	return (option.password ? [ option ] : option.section.children)
		.every(o => o.option.startsWith('_') || !o.isActive(section_id) || unchanged(o));
}

function question(option, section_id, value) {
	return [ option.section.sectiontype, option.option, value, others(option, section_id) ];
}

/* ask gives a promise of true, or of what is wrong. A router that does not answer keeps nobody
   from saving: what is wrong then, it says as the tunnel starts. */
function ask(asked) {
	const id = JSON.stringify(asked);
	const known = verdicts.get(id);
	if (known !== undefined)
		return Promise.resolve(known);
	return daemon.check(...asked).then(answer => {
		const verdict = answer.ok === false && answer.message ? answer.message : true;
		if (verdicts.size >= most)
			verdicts.clear();
		if (answer.ok != null)
			verdicts.set(id, verdict);
		return verdict;
	}, () => true);
}

/* Under the field, for who has no mouse to hover over it. */
function tell(field, message) {
	const place = field.closest('.cbi-value-field') || field.parentNode;
	let node = place.querySelector('.nc-wrong');
	if (message && !node) {
		node = E('div', { 'class': 'nc-wrong', 'role': 'alert', 'id': 'nc-wrong-%d'.format(tell.count = (tell.count || 0) + 1) });
		place.appendChild(node);
	}
	if (node && node.textContent !== message)
		node.textContent = message;
	if (node && !message)
		node.remove();
	const input = place.querySelector('input, select, textarea');
	if (input) {
		input.setAttribute('aria-invalid', message ? 'true' : 'false');
		if (message)
			input.setAttribute('aria-describedby', node.id);
		else
			input.removeAttribute('aria-describedby');
	}
}

document.addEventListener('validation-failure', ev => tell(ev.target, ev.detail && ev.detail.message || ''));
document.addEventListener('validation-success', ev => tell(ev.target, ''));

const timers = new Map();

/* later asks once nobody has typed for a moment. */
function later(option, section_id, asked) {
	const id = option.cbid(section_id);
	window.clearTimeout(timers.get(id));
	timers.set(id, window.setTimeout(() => {
		timers.delete(id);
		ask(asked).then(() => option.triggerValidation(section_id));
	}, patience));
}

function validate(section_id, value) {
	if (value == null || value === '' || settled(this, section_id))
		return true;
	const asked = question(this, section_id, value);
	const known = verdicts.get(JSON.stringify(asked));
	if (known === undefined)
		later(this, section_id, asked);
	return known === undefined ? true : known;
}

function parse(section_id) {
	const values = !this.isActive(section_id) || settled(this, section_id) ? [] : L.toArray(this.formvalue(section_id));
	const questions = values.filter(value => value !== '').map(value => question(this, section_id, value));
	return Promise.all(questions.map(ask)).then(answers => {
		const wrong = answers.find(answer => answer !== true);
		if (wrong === undefined)
			return form.AbstractValue.prototype.parse.call(this, section_id);
		const field = this.map.findElement('data-field', this.cbid(section_id));
		tell(field.querySelector('.cbi-value-field') || field, wrong);
		return Promise.reject(new TypeError('%s: %s'.format(this.stripTags(this.title), wrong)));
	});
}

return baseclass.extend({
	/* checked has the daemon judge what an option's field holds. */
	checked(option) {
		option.validate = validate;
		option.parse = parse;
		return option;
	},

	/* choices adds words to a list, the first of which is the daemon's default: that needs
	   no line in the configuration. */
	choices(option, words) {
		words.forEach((word, i) => option.value(word[0], i ? word[1] : _('%s (default)').format(word[1])));
		option.default = words[0][0];
		option.write = function(section_id, value) {
			return value == this.default ? this.remove(section_id) : form.AbstractValue.prototype.write.call(this, section_id, value);
		};
		return option;
	}
});
