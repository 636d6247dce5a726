'use strict';
'require firewall';
'require form';
'require network';
'require tools.widgets as widgets';
'require uci';
'require ui';
'require view';
'require netcombiner.apply as apply';
'require netcombiner.daemon as daemon';
'require netcombiner.fields as fields';
'require netcombiner.parts as parts';
'require netcombiner.setup as setup';

/* global apply, daemon, fields, parts, setup */

const suites = [
	[ 'auto', _('the fastest that both ends have') ],
	[ 'aes128gcm', _('AES-128-GCM') ],
	[ 'chacha20poly1305', _('ChaCha20-Poly1305') ],
	[ 'blake2s', _('BLAKE2s: authenticated, not encrypted') ],
	[ 'none', _('none: only inside another VPN') ]
];

const schedulers = [
	[ 'earliest', _('the path on which a packet arrives first') ],
	[ 'greedy', _('whichever path has room') ],
	[ 'proportional', _('in proportion to what each path carries') ],
	[ 'redundant', _('every packet on all paths') ]
];

const routings = [
	[ 'none', _('by the router\'s own interfaces and zones') ],
	[ 'nat', _('all traffic through the tunnel') ],
	[ 'portal', _('one device has the server\'s public address') ]
];

function general(s) {
	let o = s.taboption('general', form.Flag, 'enabled', _('Enabled'), _('Starts the tunnel, now and at each boot.'));
	o.default = '1';
	o.rmempty = false;

	o = s.taboption('general', form.ListValue, 'role', _('Role'), _('Which end of the tunnel this router is.'));
	o.value('local', _('local: the router at home'));
	o.value('remote', _('remote: the server'));
	o.rmempty = false;

	key(s);

	o = s.taboption('general', form.Button, '_key', ' ', _('Makes a new key. Until the other end has it, too, nothing passes: copy it there before you save.'));
	o.inputtitle = _('Generate a key');
	o.inputstyle = 'neutral';
	o.onclick = function(ev, section_id) {
		return parts.done(daemon.genkey()).then(answer => {
			const key = this.section.getUIElement(section_id, 'key');
			if (answer.key) {
				key.setValue(answer.key);
				key.triggerValidation();
			}
		});
	};

	o = s.taboption('general', form.Button, '_token', ' ', _('Fills in key, addresses and paths from what the server printed.'));
	o.inputtitle = _('Paste a token...');
	o.inputstyle = 'neutral';
	o.onclick = (ev, section_id) => setup.open(section_id, () => s.map.load().then(() => s.map.reset()));

	o = fields.checked(s.taboption('general', form.DynamicList, 'address', _('Addresses'), _('The tunnel\'s own addresses on this end, with prefix length. The other end has the other address of each pair.')));
	o.placeholder = '172.19.152.3/31';
}

/* Who may only look at the configuration sees all of it. So what is typed here goes to a file
   of its own, which the configuration names: reverting that brings the old key back. */
function key(s) {
	const o = fields.checked(s.taboption('general', form.Value, 'key', _('Key'), _('The secret that both ends share, the same on both. Saved, it is in a file that only root may read, and is not shown again. The tunnel has it once that is applied, and keeps the old one if it is reverted. A key written into <code>/etc/config/netcombiner</code> by hand is shown to whoever may look at this page.')));
	o.password = true;
	o.renderWidget = function(section_id, option_index, cfgvalue) {
		this.placeholder = uci.get('netcombiner', section_id, 'key_file') ? _('in its file') : null;
		return form.Value.prototype.renderWidget.apply(this, arguments);
	};
	o.write = (section_id, value) => daemon.key(section_id, value).then(answer => {
		if (answer.ok !== true)
			throw new Error(answer.message || _('The router did not answer.'));
		uci.set('netcombiner', section_id, 'key_file', answer.key_file);
		uci.unset('netcombiner', section_id, 'key');
		s.getUIElement(section_id, 'key_file').setValue(answer.key_file);
	});
}

function traffic(s) {
	fields.choices(s.taboption('traffic', form.ListValue, 'scheduler', _('Scheduler'), _('Which path a packet takes that this end sends.')), schedulers);
	fields.choices(s.taboption('traffic', form.ListValue, 'suite', _('Encryption'), _('How packets are authenticated and encrypted. Both ends agree on it.')), suites);

	fields.choices(s.taboption('traffic', form.ListValue, 'routing', _('Routing'), _('What goes through the tunnel. Routes, zones and masquerading stay those of this router.')), routings);

	let o = fields.choices(s.taboption('traffic', form.ListValue, 'fallback', _('When every path has failed'), _('What becomes of the traffic meanwhile.')), [
		[ 'none', _('it waits') ],
		[ 'direct', _('it leaves by the link of the lowest metric') ]
	]);
	o.depends({ role: 'local', routing: 'portal' });

	o = fields.checked(s.taboption('traffic', form.Value, 'client_interface', _('Client interface'), _('Where the device is that has the server\'s public address.')));
	o.depends({ role: 'local', routing: 'portal' });
	o = fields.checked(s.taboption('traffic', form.DynamicList, 'public_address', _('Public addresses'), _('The server\'s public addresses, where they are not to be found by itself.')));
	o.depends('routing', 'portal');
	o = fields.checked(s.taboption('traffic', form.DynamicList, 'keep_ports', _('Ports that stay here'), _('TCP ports that stay with the server itself.')));
	o.placeholder = '22';
	o.depends({ role: 'remote', routing: 'portal' });
}

/* Membership in a zone is the user's: it is offered here, as LuCI does for every interface. */
function zone(s) {
	const o = s.taboption('traffic', widgets.ZoneSelect, '_zone', _('Firewall zone'),
		_('The zone of the tunnel\'s interface, which is made if there is none; <em>wan</em> lets the devices behind the router use it.'));
	o.nocreate = true;
	o.optional = true;
	o.cfgvalue = section_id => {
		const id = setup.interfaceOf(section_id);
		return id ? firewall.getZoneByNetwork(id).then(z => z ? z.getName() : null) : null;
	};
	o.write = (section_id, value) => setup.join(section_id, value);
	o.remove = section_id => setup.interfaceOf(section_id) ? setup.join(section_id, null) : null;
}

function advanced(s) {
	let o = fields.checked(s.taboption('advanced', form.Value, 'key_file', _('Key file'), _('The file on this router that holds the key. It is made by saving a key, or yours.')));
	o.placeholder = '/etc/netcombiner/nc0.key';

	o = fields.checked(s.taboption('advanced', form.Value, 'mtu', _('MTU'), _('The longest packet in the tunnel, in bytes. It follows the paths by itself.')));
	o.placeholder = 'auto';

	o = fields.checked(s.taboption('advanced', form.Value, 'memory_limit', _('Memory'), _('What the program may use, as in 64MB. More suits faster links.')));
	o.placeholder = '64MB';

	fields.choices(s.taboption('advanced', form.ListValue, 'offload', _('Offloading'), _('Hands packets to the kernel in bulk. Turn it off where a network card spoils them.')), [
		[ 'auto', _('where the kernel can') ],
		[ 'off', _('one packet at a time') ]
	]);

	o = fields.choices(s.taboption('advanced', form.ListValue, 'authenticate_addresses', _('Bind addresses'), _('Makes both ends\' addresses part of each packet\'s authentication. Only where no NAT stands between.')), [
		[ 'no', _('no') ],
		[ 'yes', _('yes') ]
	]);
	/* Written by hand, it may be any of UCI's words. */
	o.cfgvalue = section_id => [ 'yes', '1', 'on', 'true', 'enabled' ].includes(uci.get('netcombiner', section_id, 'authenticate_addresses')) ? 'yes' : 'no';

	o = fields.checked(s.taboption('advanced', form.Value, 'metrics', _('Metrics'), _('An address and port where Prometheus may ask. Whoever reaches it may read.')));
	o.placeholder = '127.0.0.1:9487';

	fields.choices(s.taboption('advanced', form.ListValue, 'log', _('Log'), _('How lines of the log are written.')), [
		[ 'text', _('for people') ],
		[ 'json', _('for programs (JSON)') ]
	]);
}

function tunnels(m) {
	const s = m.section(form.TypedSection, 'tunnel');
	s.addremove = true;
	s.addbtntitle = _('Add by hand');
	s.tab('general', _('General Settings'));
	s.tab('traffic', _('Traffic'));
	s.tab('advanced', _('Advanced Settings'));
	general(s);
	traffic(s);
	zone(s);
	advanced(s);

	/* LuCI writes a section's name in capitals; that of an interface has its own. */
	s.renderContents = function(sections) {
		const node = form.TypedSection.prototype.renderContents.apply(this, arguments);
		node.querySelectorAll('h3').forEach((title, i) => { title.textContent = sections[i]; });
		return node;
	};

	s.renderSectionAdd = function() {
		const node = form.TypedSection.prototype.renderSectionAdd.apply(this, arguments);
		const name = node.querySelector('input');
		if (name && !m.readonly) {
			name.placeholder = 'nc0';
			name.setAttribute('aria-label', _('Name of the new tunnel'));
			name.setAttribute('maxlength', '15');
		}
		node.insertBefore(E('button', {
			'type': 'button',
			'class': 'btn cbi-button cbi-button-action important nc-setup',
			'disabled': m.readonly || null,
			'click': ui.createHandlerFn(this, () => setup.open(null, () => m.load().then(() => m.reset())))
		}, [ _('Set up with a token...') ]), node.firstChild);
		return node;
	};

	/* With a tunnel goes all that is only its own. */
	s.handleRemove = function(name) {
		for (const kind of [ 'path', 'listen', 'bypass' ])
			for (const own of uci.sections('netcombiner', kind).filter(one => one.tunnel == name))
				uci.remove('netcombiner', own['.name']);
		return setup.leave(name).then(() => form.TypedSection.prototype.handleRemove.apply(this, arguments));
	};
}

return view.extend({
	load() {
		return Promise.all([ uci.load([ 'netcombiner', 'network', 'firewall' ]), network.getNetworks() ]);
	},

	render() {
		const m = new form.Map('netcombiner', _('Netcombiner'),
			_('Several Internet links, one connection. The other end is a server: what <code>netcombiner init remote</code> prints there sets up this one.'));
		m.chain('network');
		m.chain('firewall');
		tunnels(m);
		return m.render();
	},

	handleSaveApply(ev, mode) {
		return this.handleSave(ev).then(() => apply.staged(mode));
	}
});
