'use strict';
'require form';
'require uci';
'require ui';
'require view';
'require netcombiner.apply as apply';
'require netcombiner.daemon as daemon';
'require netcombiner.fields as fields';
'require netcombiner.parts as parts';
'require netcombiner.setup as setup';
'require netcombiner.watch as watch';
'require netcombiner.words as words';

/* global apply, daemon, fields, parts, setup, watch, words */

function names(role) {
	return uci.sections('netcombiner', 'tunnel').filter(tunnel => (tunnel.role || 'local') == role).map(tunnel => tunnel['.name']);
}

function tunnelOf(s, role) {
	const o = s.option(form.ListValue, 'tunnel', _('Tunnel'), _('The tunnel that this belongs to.'));
	const all = names(role);
	all.forEach(name => o.value(name));
	o.default = all[0];
	o.rmempty = false;
	o.modalonly = all.length > 1 ? null : true;
}

function transport(s, help) {
	const o = fields.choices(s.option(form.ListValue, 'transport', _('Transport'), help), [
		[ 'udp', _('UDP') ],
		[ 'tcp', _('TCP') ],
		[ 'ip', _('IP') ]
	]);
	o.textvalue = function(section_id) {
		return '%h'.format(this.cfgvalue(section_id) || 'udp').toUpperCase();
	};
}

function protocol(s) {
	const o = fields.checked(s.option(form.Value, 'protocol', _('IP protocol'), _('The number of the IP protocol, the same on both ends.')));
	o.placeholder = '253';
	o.depends('transport', 'ip');
	o.modalonly = true;
}

function link(s, wans) {
	let o = s.option(form.Value, 'interface', _('Link', 'WAN'), _('The WAN interface by which this path leaves. The path follows it when it goes, comes back, or changes its address.'));
	wans.forEach(wan => o.value(wan.interface, setup.describe(wan)));
	o.datatype = 'uciname';
	o.textvalue = function(section_id) {
		return '%h'.format(this.cfgvalue(section_id) || uci.get('netcombiner', section_id, 'bind') || '–');
	};

	o = fields.checked(s.option(form.Value, 'bind', _('Device or address'), _('Instead of a link: a network device, or an address of this router.')));
	o.depends('interface', '');
	o.modalonly = true;
}

/* What the table has where nothing is configured. */
function shown(o, otherwise) {
	o.textvalue = function(section_id) {
		return '%h'.format(this.cfgvalue(section_id) || otherwise);
	};
}

function limits(s) {
	let o = fields.checked(s.option(form.Value, 'metric', _('Metric'), _('A path with a higher metric is used only when those with a lower one are full or have failed.')));
	o.placeholder = '0';
	shown(o, '0');

	o = fields.checked(s.option(form.Value, 'rate', _('Rate'), _('A ceiling, down/up or one for both, as in 40mbit/10mbit. It is never needed.')));
	o.placeholder = _('no limit');
	shown(o, '–');

	o = fields.checked(s.option(form.Value, 'quota', _('Quota'), _('What the path may carry in a month, as in 50GB. Once it is used up, the path serves only while every other one has failed.')));
	o.placeholder = _('no limit');
	shown(o, '–');

	o = fields.checked(s.option(form.Value, 'quota_reset', _('Quota begins on day'), _('The day of the month on which the quota begins anew.')));
	o.placeholder = '1';
	o.depends({ quota: '', '!reverse': true });
	o.modalonly = true;

	o = fields.choices(s.option(form.ListValue, 'direction', _('Direction'), _('Which way the path carries data, seen from here.')), [
		[ 'both', _('both ways') ],
		[ 'send', _('out only') ],
		[ 'receive', _('in only') ]
	]);
	o.modalonly = true;

	o = fields.choices(s.option(form.ListValue, 'congestion', _('Congestion control', 'path'), _('How much is sent at once. Without any, a rate must be given.')), [
		[ 'bbr', _('BBR: keeps the link\'s queue short') ],
		[ 'newreno', _('NewReno') ],
		[ 'none', _('none: trusts the rate') ]
	]);
	o.depends('transport', 'udp');
	o.depends('transport', 'ip');
	o.modalonly = true;
}

function enabled(s) {
	const o = s.option(form.Flag, 'enabled', _('Enabled'));
	o.default = '1';
	o.rmempty = false;
	o.editable = true;
}

/* A link that has no path yet comes first. */
function unused(wans) {
	const used = uci.sections('netcombiner', 'path').map(path => path.interface);
	return wans.filter(wan => !used.includes(wan.interface));
}

/* What a new path takes from its tunnel's other ones. */
function begin(id, wan) {
	const tunnel = names('local')[0];
	const other = uci.sections('netcombiner', 'path').find(path => path.tunnel == tunnel && path.remote);
	const values = { tunnel, enabled: '1' };
	if (wan)
		Object.assign(values, { name: wan, interface: wan });
	if (other)
		Object.assign(values, { remote: other.remote, transport: other.transport });
	for (const key in values)
		if (values[key] != null)
			uci.set('netcombiner', id, key, values[key]);
}

/* A path without a name has its link's. */
function nameOf(section_id) {
	return uci.get('netcombiner', section_id, 'name') || uci.get('netcombiner', section_id, 'interface') || '';
}

function paths(m, wans) {
	const s = m.section(form.GridSection, 'path', _('Paths'), _('Each link to the Internet is a path of the tunnel.'));
	s.anonymous = true;
	s.addremove = true;
	s.sortable = true;
	s.nodescriptions = true;
	s.modaltitle = section_id => _('Path %s').format('%h'.format(nameOf(section_id)));

	let o = s.option(form.DummyValue, '_state', _('State'));
	o.modalonly = false;
	o.textvalue = section_id => {
		const badge = parts.badge();
		badge.node.dataset.path = '%s %s'.format(uci.get('netcombiner', section_id, 'tunnel'), nameOf(section_id));
		badge.show('down', '–');
		return badge.node;
	};

	o = fields.checked(s.option(form.Value, 'name', _('Name'), _('Short, and different for each path of the tunnel.')));
	o.rmempty = false;
	link(s, wans);
	transport(s, _('UDP is best. TCP is for links that block UDP. IP saves 8 bytes a packet where no NAT stands between.'));
	o = fields.checked(s.option(form.Value, 'remote', _('Server'), _('Where the other end listens: host:port, or the host alone for IP.')));
	o.placeholder = 'vps.example.org:4725';
	o.rmempty = false;
	o.modalonly = true;
	protocol(s);
	limits(s);
	tunnelOf(s, 'local');
	enabled(s);

	s.renderSectionAdd = function() {
		const choice = E('select', { 'class': 'cbi-input-select', 'aria-label': _('Link of the new path') }, [
			...unused(wans).map(wan => E('option', { 'value': wan.interface }, [ setup.describe(wan) ])),
			E('option', { 'value': '' }, [ _('another...') ])
		]);
		return E('div', { 'class': 'cbi-section-create' }, [
			E('div', [ choice ]),
			E('button', {
				'type': 'button',
				'class': 'btn cbi-button cbi-button-add',
				'disabled': m.readonly || null,
				'click': ui.createHandlerFn(this, () => {
					const id = m.addedSection = uci.add('netcombiner', 'path');
					begin(id, choice.value);
					return this.renderMoreOptionsModal(id);
				})
			}, [ _('Add path') ])
		]);
	};
}

function listeners(m) {
	const s = m.section(form.GridSection, 'listen', _('Listeners', 'tunnel'), _('Where this end waits for the other one: one for each transport.'));
	s.anonymous = true;
	s.addremove = true;
	s.nodescriptions = true;
	s.addbtntitle = _('Add listener', 'tunnel');
	s.modaltitle = _('Listener', 'tunnel');

	transport(s, _('UDP is best. TCP is for links that block UDP. IP saves 8 bytes a packet where no NAT stands between.'));
	let o = fields.checked(s.option(form.Value, 'address', _('Address'), _('Address and port, as in [::]:4725; the address alone for IP.')));
	o.placeholder = '[::]:4725';
	o.rmempty = false;
	protocol(s);
	o = fields.checked(s.option(form.DynamicList, 'allow', _('Allowed from'), _('Networks that may connect. Empty: all.')));
	o.placeholder = '198.51.100.0/24';
	o.modalonly = true;
	o = s.option(form.Flag, 'open_firewall', _('Open port'), _('Opens the port in the firewall while the tunnel runs.'));
	o.default = '1';
	o.rmempty = false;
	tunnelOf(s, 'remote');
}

/* states writes each path's state beside it. */
function states(root, answer) {
	root.querySelectorAll('[data-path]').forEach(node => {
		const [ tunnel, name ] = node.dataset.path.split(' ');
		const status = (answer.tunnels || {})[tunnel] || {};
		const path = (status.paths || []).find(one => one.name == name);
		node.className = 'nc-badge nc-' + (path ? path.state : 'down');
		parts.write(node, path ? words.state(path.state) : '–');
	});
}

return view.extend({
	load() {
		return Promise.all([ daemon.wans(), daemon.status(), uci.load('netcombiner') ]);
	},

	render([ wans, status ]) {
		const m = new form.Map('netcombiner', _('Netcombiner'));
		if (names('local').length > 0)
			paths(m, wans);
		if (names('remote').length > 0)
			listeners(m);
		if (m.children.length == 0)
			return E('div', [ E('h2', [ _('Netcombiner') ]), parts.noTunnel() ]);
		return m.render().then(root => {
			states(root, status);
			watch.every(3, daemon.status, answer => states(root, answer));
			return root;
		});
	},

	handleSaveApply(ev, mode) {
		return this.handleSave(ev).then(() => apply.staged(mode));
	}
});
