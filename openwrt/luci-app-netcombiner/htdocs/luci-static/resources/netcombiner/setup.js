'use strict';
'require baseclass';
'require firewall';
'require network';
'require uci';
'require ui';
'require netcombiner.daemon as daemon';
'require netcombiner.parts as parts';

/* global daemon, parts */

/* A token from the other end holds all that a tunnel needs but the links of this router. Here it
   becomes a tunnel, its paths, its interface, and the interface's place in a zone. Nothing of
   it is applied: that is LuCI's own button. */

/* The paths of a tunnel keep what they are; new ones are made for links that had none. */
function paths(name, ways, links) {
	const own = uci.sections('netcombiner', 'path').filter(path => path.tunnel == name);
	for (const path of own) {
		const way = ways.find(w => w.transport == (path.transport || 'udp'));
		if (way)
			uci.set('netcombiner', path['.name'], 'remote', way.remote);
	}
	for (const link of links) {
		if (own.some(path => path.interface == link))
			continue;
		const id = uci.add('netcombiner', 'path');
		const values = { tunnel: name, enabled: '1', name: link, interface: link, transport: ways[0].transport, remote: ways[0].remote };
		for (const key in values)
			uci.set('netcombiner', id, key, values[key]);
	}
}

function tunnel(name, values) {
	if (!uci.get('netcombiner', name)) {
		uci.add('netcombiner', 'tunnel', name);
		uci.set('netcombiner', name, 'enabled', '1');
	}
	uci.set('netcombiner', name, 'role', 'local');
	uci.unset('netcombiner', name, 'key');
	for (const key in values)
		uci.set('netcombiner', name, key, values[key]);
}

/* The interface of a tunnel is netifd's, with the protocol netcombiner. */
function interfaceOf(name) {
	const one = uci.sections('network', 'interface').find(i => i.proto == 'netcombiner' && (i.tunnel || i['.name']) == name);
	return one ? one['.name'] : null;
}

/* taken says why a tunnel cannot have an interface of its name. */
function taken(name) {
	return !interfaceOf(name) && uci.get('network', name) ? _('Another interface has this name: the tunnel needs one of its own.') : null;
}

/* join sees to it that a tunnel has an interface, and that this is in the zone, or in none. */
function join(name, zone) {
	const wrong = taken(name);
	if (wrong)
		return Promise.reject(new Error(wrong));
	let id = interfaceOf(name);
	if (!id) {
		id = uci.add('network', 'interface', name);
		uci.set('network', id, 'proto', 'netcombiner');
		uci.set('network', id, 'tunnel', name);
	}
	return firewall.getZoneByNetwork(id).then(old => {
		if (old && old.getName() == zone)
			return null;
		if (old)
			old.deleteNetwork(id);
		return zone ? firewall.getZone(zone).then(z => z && z.addNetwork(id)) : null;
	});
}

/* leave takes the interface of a tunnel away, and out of its zone. */
function leave(name) {
	const id = interfaceOf(name);
	if (!id)
		return Promise.resolve();
	return join(name, null).then(() => uci.remove('network', id));
}

function free() {
	for (let i = 0; ; i++)
		if (!uci.get('netcombiner', 'nc%d'.format(i)) && !uci.get('network', 'nc%d'.format(i)))
			return 'nc%d'.format(i);
}

function describe(wan) {
	return '%s (%s)'.format(wan.interface, [ wan.device, wan.up ? _('connected') : _('not connected') ].filter(Boolean).join(', '));
}

function value(title, field, help) {
	return E('div', { 'class': 'cbi-value' }, [
		E('label', { 'class': 'cbi-value-title', 'for': field.querySelector('input, select') ? field.querySelector('input, select').id : null }, [ title ]),
		E('div', { 'class': 'cbi-value-field' }, [ field, E('div', { 'class': 'cbi-value-description' }, help) ])
	]);
}

/* The dialogue's fields. */
function fields(name, wans, zones, zone) {
	const token = new ui.Textfield('', { id: 'nc-token', password: true, optional: false });
	const tunnelName = new ui.Textfield(name || free(), { id: 'nc-name', datatype: 'and(uciname,maxlength(15))', optional: false, disabled: name != null });
	const links = wans.map(wan => E('label', [ E('input', { 'type': 'checkbox', 'value': wan.interface, 'checked': wan.up ? '' : null }), ' ', describe(wan) ]));
	const choices = {};
	for (const z of zones)
		choices[z.getName()] = z.getName();
	const inZone = new ui.Select(zone, choices, { id: 'nc-zone', optional: true, placeholder: _('none', 'firewall zone') });
	return {
		nodes: [
			value(_('Token'), token.render(), _('What <code>netcombiner init remote</code> printed on the server. It holds the key, which goes into a file that only root may read: keep it as secret.')),
			value(_('Tunnel'), tunnelName.render(), _('The name of the tunnel, and of its interface.')),
			value(_('Links', 'WAN'), E('div', { 'class': 'nc-choices', 'role': 'group', 'aria-label': _('Links', 'WAN') }, links.length ? links : [ E('em', [ _('No WAN interface was found. Add paths later.') ]) ]), _('The WAN interfaces to join. Each one makes a path.')),
			value(_('Firewall zone'), inZone.render(), _('The zone that the tunnel\'s interface shall belong to; <em>wan</em> lets the devices behind the router use it.'))
		],
		token: () => token.getValue(),
		forget: () => token.setValue(''),
		name: () => tunnelName.getValue(),
		valid: () => tunnelName.isValid(),
		links: () => links.map(label => label.firstElementChild).filter(box => box.checked).map(box => box.value),
		zone: () => inZone.getValue()
	};
}

/* take writes what the form says, as LuCI's changes that wait to be applied. */
function take(form) {
	const wrong = taken(form.name());
	if (wrong)
		return Promise.resolve(wrong);
	return daemon.token(form.name(), form.token()).then(answer => {
		if (answer.ok !== true)
			return answer.message || _('The router did not answer.');
		tunnel(form.name(), answer.tunnel);
		paths(form.name(), answer.paths, form.links());
		return Promise.resolve(join(form.name(), form.zone())).then(() => uci.save()).then(() => null);
	});
}

return baseclass.extend({
	interfaceOf,
	join,
	leave,
	describe,

	/* open shows the dialogue for a tunnel, or for a new one, and calls done after it. */
	open(name, done) {
		const known = name && interfaceOf(name);
		return Promise.all([
			daemon.wans(), firewall.getZones(), known ? firewall.getZoneByNetwork(known) : null, network.getNetworks()
		]).then(([ wans, zones, zone ]) => {
			const form = fields(name, wans, zones, zone ? zone.getName() : known ? '' : 'wan');
			const wrong = E('p', { 'class': 'alert-message danger', 'role': 'alert', 'hidden': '' });
			/* LuCI keeps the nodes of a dialogue that is closed: a secret must not stay there. */
			const close = () => {
				form.forget();
				ui.hideModal();
			};
			const ok = () => form.valid() && take(form).then(message => {
				wrong.hidden = message == null;
				parts.write(wrong, message || '');
				if (message == null) {
					close();
					return done(form.name());
				}
			});
			ui.showModal(_('Set up with a token'), [
				E('div', { 'class': 'nc' }, [ wrong, ...form.nodes ]),
				E('div', { 'class': 'right button-row' }, [
					E('button', { 'type': 'button', 'class': 'btn cbi-button', 'click': close }, [ _('Dismiss') ]), ' ',
					E('button', { 'type': 'button', 'class': 'btn cbi-button cbi-button-positive important', 'click': ui.createHandlerFn(this, ok) }, [ _('Set up') ])
				])
			], 'cbi-modal');
			document.querySelector('#nc-token input').focus();
		});
	}
});
