// A stand-in for LuCI, as much of it as our pages use and of our own making: what makes
// elements, loads modules, asks the router, and shows dialogues. form.js beside it has the forms.
'use strict';

String.prototype.format = function (...values) {
	const escape = { '&': '&amp;', '<': '&lt;', '>': '&gt;', '"': '&quot;', "'": '&#39;' };
	return this.replace(/%([sdh%])/g, (all, kind) => {
		switch (kind) {
		case '%': return '%';
		case 'd': return String(Math.floor(+values.shift() || 0));
		case 'h': return String(values.shift() ?? '').replace(/[&<>"']/g, c => escape[c]);
		default: return String(values.shift());
		}
	});
};

window.asked = new Set(); // every text that was to be translated
window._ = text => (asked.add(text), text);
window.N_ = (n, one, many) => (asked.add(one), n == 1 ? one : many);

function append(node, children) {
	if (Array.isArray(children))
		for (const child of children.flat())
			child != null && node.append(child);
	else if (children instanceof Node)
		node.append(children);
	else if (children != null)
		node.innerHTML = children; // as LuCI does: who gives a text gives HTML
	return node;
}

window.E = (tag, attributes, children) => {
	if (attributes == null || Array.isArray(attributes) || attributes instanceof Node || typeof attributes != 'object')
		[ children, attributes ] = [ children ?? attributes, {} ];
	const node = Array.isArray(tag) ? append(document.createDocumentFragment(), tag) : document.createElement(tag);
	for (const name in attributes) {
		const value = attributes[name];
		if (typeof value == 'function')
			node.addEventListener(name, value);
		else if (value != null)
			node.setAttribute(name, value);
	}
	return append(node, children);
};

window.L = {
	url: (...parts) => '/cgi-bin/luci/' + parts.join('/'),
	resource: path => '/luci-static/resources/' + path,
	toArray: value => value == null ? [] : Array.isArray(value) ? value : String(value).split(/\s+/).filter(Boolean),
	resolveDefault: (promise, value) => Promise.resolve(promise).catch(() => value),
	hasViewPermission: () => window.permission ?? true
};

const Base = class {
	static extend(members) {
		const Parent = this;
		const Class = class extends Parent {
			constructor(...given) {
				super(...given);
				if (new.target === Class && this.__init__)
					this.__init__(...given);
			}
		};
		Object.assign(Class.prototype, members);
		return Class;
	}
};

const builtin = {
	baseclass: Base,
	poll: {
		queue: [],
		add(fn, interval) {
			this.queue.push({ fn, interval });
		},
		step() {
			return Promise.all(this.queue.map(entry => entry.fn()));
		}
	},
	rpc: {
		declare({ object, method, params = [], expect }) {
			return async (...given) => {
				const named = {};
				params.forEach((name, i) => { named[name] = given[i]; });
				const answer = await window.ubus(object, method, JSON.parse(JSON.stringify(named)));
				const [ key ] = Object.keys(expect);
				const value = key ? answer?.[key] : answer;
				return value ?? expect[key];
			};
		}
	},
	ui: {
		changes: { apply(checked) { window.applied = checked; } },
		createHandlerFn: (self, fn) => ev => fn.call(self, ev),
		showModal(title, children, ...classes) {
			this.hideModal();
			document.body.append(E('div', { id: 'modal', class: classes.join(' '), role: 'dialog' }, [ E('h4', title), ...children ]));
		},
		hideModal() {
			this.closed = document.getElementById('modal') ?? this.closed;
			this.closed?.remove();
		},
		addNotification(title, node, kind) {
			document.body.prepend(E('div', { class: 'alert-message ' + kind }, [ node ]));
		}
	},
	network: {
		getNetworks: async () => [],
		registerProtocol(name, members) {
			window.protocols = { ...window.protocols, [name]: members };
			return Base.extend(members);
		}
	},
	uci: {
		state: {},
		async load(configs) {
			for (const config of [ configs ].flat())
				this.state[config] ??= await window.ubus('uci', 'get', { config });
		},
		sections(config, type, fn) {
			const all = Object.values(this.state[config] ?? {}).filter(s => type == null || s['.type'] == type);
			if (fn)
				all.forEach(s => fn(s, s['.name']));
			return all;
		},
		get(config, id, option) {
			const one = this.state[config]?.[id];
			return option == null ? one ?? null : one?.[option] ?? null;
		},
		set(config, id, option, value) {
			this.state[config][id][option] = value;
		},
		unset(config, id, option) {
			delete this.state[config][id][option];
		},
		add(config, type, name) {
			const id = name ?? 'new%d'.format(Object.keys(this.state[config]).length);
			this.state[config][id] = { '.type': type, '.name': id, '.anonymous': name == null };
			return id;
		},
		remove(config, id) {
			delete this.state[config][id];
		},
		async save() {
			this.saved = structuredClone(this.state);
		}
	}
};

builtin.view = Base.extend({
	async show() {
		const nodes = await this.render(await this.load?.());
		append(document.getElementById('view'), [ nodes ]);
		window.shown = this;
	},
	handleSave() {
		return window.map.save();
	}
});

builtin.firewall = {
	zones() {
		return builtin.uci.sections('firewall', 'zone').map(s => ({
			getName: () => s.name,
			addNetwork: id => { s.network = [ ...L.toArray(s.network).filter(n => n != id), id ]; },
			deleteNetwork: id => { s.network = L.toArray(s.network).filter(n => n != id); },
			has: id => L.toArray(s.network).includes(id)
		}));
	},
	getZones: async () => (await builtin.uci.load('firewall'), builtin.firewall.zones()),
	getZone: async name => builtin.firewall.zones().find(zone => zone.getName() == name) ?? null,
	getZoneByNetwork: async id => builtin.firewall.zones().find(zone => zone.has(id)) ?? null,
	deleteNetwork: async id => builtin.firewall.zones().forEach(zone => zone.deleteNetwork(id))
};

const loaded = {};

// load makes the one object of a module, after those that it requires.
window.load = name => loaded[name] ??= (async () => {
	if (builtin[name])
		return builtin[name];
	const source = await (await fetch(L.resource(name.replaceAll('.', '/') + '.js'))).text();
	const names = [], values = [];
	for (const [ , from, as ] of source.matchAll(/^'require ([\w.]+)(?: as (\w+))?';$/gm)) {
		names.push(as ?? from.split('.').pop());
		values.push(await load(from));
	}
	const Class = new Function(...names, source + '\n//# sourceURL=' + name)(...values);
	return new Class();
})();

window.luci = builtin;
