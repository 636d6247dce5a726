// A stand-in for LuCI's forms: a map of sections of options, which are read from UCI, shown
// as widgets, judged, and written back.
'use strict';

{
const { uci, ui } = luci;

/* A widget is what a person types into. */
class Widget {
	constructor(value, options) {
		this.value = value;
		this.options = options;
		this.state = true;
	}

	render() {
		this.input = this.make();
		this.node = E('div', { id: this.options.id }, [ this.input ].flat());
		const judge = () => this.triggerValidation();
		for (const event of [ 'keyup', 'blur' ])
			this.node.addEventListener(event, judge, true);
		this.node.addEventListener('change', () => this.options.changed?.());
		this.node.widget = this;
		return this.node;
	}

	target() {
		return this.node.querySelector('input, select');
	}

	triggerValidation() {
		const value = this.target().value;
		const verdict = value === '' ? (this.options.optional === false ? 'Expecting: non-empty value' : true) : this.options.validate?.(value) ?? true;
		this.state = verdict;
		this.target().classList.toggle('cbi-input-invalid', verdict !== true);
		this.target().dispatchEvent(new CustomEvent(verdict === true ? 'validation-success' : 'validation-failure', { bubbles: true, detail: { message: verdict } }));
	}

	isValid() {
		return this.state === true;
	}

	getValue() {
		return this.target().value;
	}

	setValue(value) {
		this.target().value = value;
	}
}

ui.Textfield = class extends Widget {
	make() {
		const input = E('input', { type: this.options.password ? 'password' : 'text', value: this.value ?? '', placeholder: this.options.placeholder, disabled: this.options.disabled ? '' : null });
		if (!this.options.password)
			return input;
		const reveal = () => { input.type = input.type == 'password' ? 'text' : 'password'; };
		return [ input, E('button', { type: 'button', class: 'reveal', click: reveal }, [ '∗' ]) ];
	}
};

ui.Select = class extends Widget {
	constructor(value, choices, options) {
		super(value, options);
		this.choices = choices;
	}

	make() {
		const choices = this.options.optional ? { '': this.options.placeholder ?? '', ...this.choices } : this.choices;
		return E('select', Object.keys(choices).map(key => E('option', { value: key, selected: key == (this.value ?? '') ? '' : null }, [ choices[key] ])));
	}
};

const Checkbox = class extends Widget {
	make() {
		return E('input', { type: 'checkbox', checked: this.value == '1' ? '' : null });
	}

	getValue() {
		return this.input.checked ? '1' : '0';
	}
};

const List = class extends Widget {
	make() {
		const values = [ ...L.toArray(this.value), '' ];
		return values.map(value => E('input', { type: 'text', class: 'item', value, placeholder: this.options.placeholder }));
	}

	target() {
		return [ ...this.node.querySelectorAll('input') ].pop();
	}

	getValue() {
		return [ ...this.node.querySelectorAll('input') ].map(input => input.value).filter(Boolean);
	}
};

class AbstractValue {
	constructor(map, section, option, title = '', description = '') {
		Object.assign(this, { map, section, option, title, description, deps: [], rmempty: true, keylist: [], names: {} });
	}

	value(key, name) {
		this.keylist.push(key);
		this.names[key] = name ?? key;
	}

	depends(field, value) {
		this.deps.push(typeof field == 'string' ? { [field]: value } : field);
	}

	cbid(id) {
		return 'cbid.%s.%s.%s'.format(this.map.config, id, this.option);
	}

	cfgvalue(id) {
		return uci.get(this.map.config, id, this.option);
	}

	textvalue(id) {
		return '%h'.format(this.cfgvalue(id) ?? this.default ?? '');
	}

	stripTags(text) {
		return text.replace(/<[^>]+>/g, '');
	}

	field(id) {
		return this.map.findElement('data-field', this.cbid(id));
	}

	getUIElement(id) {
		return this.field(id)?.querySelector('[id="%s"]'.format(this.cbid(id)))?.widget ?? null;
	}

	formvalue(id) {
		return this.getUIElement(id)?.getValue() ?? null;
	}

	isActive(id) {
		return !!this.field(id) && !this.field(id).hidden;
	}

	triggerValidation(id) {
		this.getUIElement(id)?.triggerValidation();
	}

	checkDepends(id) {
		const field = this.field(id);
		const met = dep => Object.keys(dep).filter(k => k[0] != '!').every(k => {
			const value = this.section.children.find(o => o.option == k)?.formvalue(id) ?? '';
			return (value == dep[k]) != !!dep['!reverse'];
		});
		if (field)
			field.hidden = this.deps.length > 0 && !this.deps.some(met);
	}

	widget(value, options) {
		return new ui.Textfield(value, { ...options, password: this.password });
	}

	renderWidget(id, index, value) {
		return this.widget(value ?? this.default, {
			id: this.cbid(id),
			placeholder: this.placeholder,
			optional: this.rmempty || this.optional,
			validate: this.validate && (v => this.validate(id, v)),
			changed: () => this.map.checkDepends()
		}).render();
	}

	async render(id) {
		const node = this.renderWidget(id, 0, await this.cfgvalue(id));
		return E('div', { class: 'cbi-value', 'data-field': this.cbid(id), 'data-name': this.option }, [
			E('label', { class: 'cbi-value-title' }, this.title),
			E('div', { class: 'cbi-value-field' }, [ node, E('div', { class: 'cbi-value-description' }, this.description) ])
		]);
	}

	async parse(id) {
		if (!this.isActive(id))
			return this.remove(id);
		if (!this.getUIElement(id).isValid())
			throw new TypeError('Option "%s" contains an invalid input value.'.format(this.title));
		const value = this.formvalue(id);
		if (value != null && value !== '' && value.length !== 0)
			return JSON.stringify(value) == JSON.stringify(this.cfgvalue(id)) ? null : this.write(id, value);
		if (!this.rmempty)
			throw new TypeError('Option "%s" must not be empty.'.format(this.title));
		return this.remove(id);
	}

	write(id, value) {
		uci.set(this.map.config, id, this.option, value);
	}

	remove(id) {
		uci.unset(this.map.config, id, this.option);
	}
}

class ListValue extends AbstractValue {
	widget(value, options) {
		return new ui.Select(value, this.names, { ...options, optional: this.optional });
	}
}

class Flag extends AbstractValue {
	widget(value, options) {
		return new Checkbox(value, options);
	}
}

class DynamicList extends AbstractValue {
	widget(value, options) {
		return new List(value, options);
	}
}

class DummyValue extends AbstractValue {
	async render(id) {
		const text = this.textvalue(id);
		return E('div', { 'data-field': this.cbid(id) }, text instanceof Node ? [ text ] : text);
	}

	async parse() {}
}

class Button extends AbstractValue {
	async render(id) {
		return E('div', { class: 'cbi-value', 'data-name': this.option }, [ E('button', { type: 'button', click: ev => this.onclick(ev, id) }, [ this.inputtitle ]) ]);
	}

	async parse() {}
}

class TypedSection {
	constructor(map, sectiontype, title, description) {
		Object.assign(this, { map, sectiontype, title, description, children: [] });
	}

	tab() {}

	option(Kind, ...given) {
		const o = new Kind(this.map, this, ...given);
		this.children.push(o);
		return o;
	}

	taboption(tab, Kind, ...given) {
		return this.option(Kind, ...given);
	}

	getUIElement(id, option) {
		return this.children.find(o => o.option == option).getUIElement(id);
	}

	cfgsections() {
		return uci.sections(this.map.config, this.sectiontype).map(s => s['.name']);
	}

	shown() {
		return this.children;
	}

	async render() {
		const ids = this.cfgsections();
		const nodes = [];
		for (const id of ids)
			nodes.push(await Promise.all(this.shown().map(o => o.render(id))));
		return this.renderContents(ids, nodes);
	}

	renderContents(ids, nodes) {
		const node = E('div', { class: 'cbi-section' });
		ids.forEach((id, i) => node.append(E('h3', [ id.toUpperCase() ]),
			E('button', { type: 'button', class: 'delete', 'data-section-id': id, click: () => this.handleRemove(id) }, [ 'Delete' ]),
			E('div', { class: 'cbi-section-node', 'data-section-id': id }, nodes[i])));
		node.append(this.renderSectionAdd());
		return node;
	}

	renderSectionAdd() {
		const name = E('input', { type: 'text' });
		return E('div', { class: 'cbi-section-create' }, [ E('div', [ name ]), E('button', { type: 'button', class: 'add', click: ev => this.handleAdd(ev, name.value) }, [ this.addbtntitle ]) ]);
	}

	async handleAdd(ev, name) {
		uci.add(this.map.config, this.sectiontype, name);
		await this.map.save(null, true);
	}

	async handleRemove(id) {
		uci.remove(this.map.config, id);
		await this.map.save(null, true);
	}

	async parse() {
		for (const id of this.cfgsections())
			for (const o of this.shown())
				if (o.field(id))
					await o.parse(id);
	}
}

class NamedSection extends TypedSection {
	constructor(map, id, ...given) {
		super(map, ...given);
		this.id = id;
	}

	cfgsections() {
		return [ this.id ];
	}

	renderContents(ids, nodes) {
		return E('div', { class: 'cbi-section' }, nodes.flat());
	}
}

class GridSection extends TypedSection {
	shown() {
		return this.children.filter(o => o.editable);
	}

	renderContents(ids, nodes) {
		const columns = this.children.filter(o => !o.modalonly);
		const table = E('table', { class: 'cbi-section-table' }, [ E('tr', columns.map(o => E('th', [ o.title ]))) ]);
		ids.forEach((id, i) => {
			const cells = columns.map(o => {
				if (o.editable)
					return E('td', [ nodes[i][this.shown().indexOf(o)] ]);
				const text = o.textvalue(id);
				return E('td', { 'data-name': o.option }, text instanceof Node ? [ text ] : text);
			});
			table.append(E('tr', { 'data-section-id': id }, [ ...cells, E('td', [
				E('button', { type: 'button', class: 'edit', click: () => this.renderMoreOptionsModal(id) }, [ 'Edit' ]),
				E('button', { type: 'button', class: 'delete', click: () => this.handleRemove(id) }, [ 'Delete' ])
			]) ]));
		});
		return E('div', { class: 'cbi-section' }, [ E('h3', [ this.title ]), table, this.renderSectionAdd() ]);
	}

	/* The dialogue has options of its own, made like those of the table. */
	async renderMoreOptionsModal(id) {
		const m = new Map(this.map.config);
		const s = m.section(NamedSection, id, this.sectiontype);
		for (const o of this.children.filter(o => o.modalonly !== false)) {
			const copy = s.option(o.constructor, o.option, o.title, o.description);
			for (const key of Object.keys(o).filter(k => ![ 'map', 'section' ].includes(k)))
				copy[key] = o[key];
		}
		const title = typeof this.modaltitle == 'function' ? this.modaltitle(id) : this.modaltitle;
		const save = () => m.save(null, true).then(() => {
			delete this.map.addedSection;
			ui.hideModal();
			return this.map.reset();
		}, () => null);
		ui.showModal(title, [ await m.render(), E('button', { type: 'button', class: 'save', click: save }, [ 'Save' ]) ]);
	}
}

class Map {
	constructor(config, title, description) {
		Object.assign(this, { config, title, description, children: [], chained: [ config ] });
	}

	chain(config) {
		this.chained.push(config);
	}

	section(Kind, ...given) {
		const s = new Kind(this, ...given);
		this.children.push(s);
		return s;
	}

	findElement(name, value) {
		return this.root?.querySelector('[%s="%s"]'.format(name, value)) ?? null;
	}

	async load() {
		for (const config of this.chained)
			await uci.load(config);
	}

	async render() {
		await this.load();
		this.root = E('div', { class: 'cbi-map', id: 'cbi-' + this.config });
		window.map ??= this;
		return this.reset();
	}

	async reset() {
		const nodes = await Promise.all(this.children.map(s => s.render()));
		this.root.replaceChildren(E('h2', this.title ?? ''), E('div', this.description ?? ''), ...nodes);
		this.checkDepends();
		return this.root;
	}

	checkDepends() {
		for (const s of this.children)
			for (const id of s.cfgsections())
				for (const o of s.children)
					o.checkDepends(id);
	}

	async save(done, silent) {
		try {
			for (const s of this.children)
				await s.parse();
		} catch (error) {
			if (!silent)
				ui.addNotification(null, E('p', [ error.message ]), 'danger');
			throw error;
		}
		await uci.save();
		await this.reset();
	}
}

luci.form = { Map, TypedSection, NamedSection, GridSection, AbstractValue, Value: AbstractValue, ListValue, Flag, DynamicList, DummyValue, Button };

luci['tools.widgets'] = {
	ZoneSelect: class extends ListValue {
		async render(id) {
			for (const zone of await luci.firewall.getZones())
				this.names[zone.getName()] = zone.getName();
			return super.render(id);
		}
	}
};
}
