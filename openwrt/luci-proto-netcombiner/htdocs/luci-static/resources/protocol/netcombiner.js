'use strict';
'require form';
'require network';
'require uci';

/* A tunnel as an interface: zones, routes and metrics are then netifd's, and the options
   for them are those that LuCI has for every protocol. */
return network.registerProtocol('netcombiner', {
	getI18n() {
		return _('Netcombiner tunnel');
	},

	getIfname() {
		return this._ubus('l3_device') || uci.get('network', this.sid, 'tunnel') || this.sid;
	},

	getPackageName() {
		return 'netcombiner';
	},

	/* The daemon makes the device, which nobody has to choose. */
	isFloating() {
		return true;
	},

	isVirtual() {
		return true;
	},

	getDevices() {
		return null;
	},

	containsDevice(ifname) {
		return network.getIfnameOf(ifname) == this.getIfname();
	},

	/* LuCI does not wait for this: what takes time belongs into load. */
	renderFormOptions(s) {
		const o = s.taboption('general', form.Value, 'tunnel', _('Tunnel'),
			_('The tunnel that this interface stands for, from <a href="%s">Services, Netcombiner</a>. Empty: the one of this interface\'s own name.')
				.format(L.url('admin/services/netcombiner/tunnel')));
		o.datatype = 'and(uciname,maxlength(15))';
		o.placeholder = s.section;
		o.load = section_id => L.resolveDefault(uci.load('netcombiner')).then(() => {
			o.keylist = [];
			o.vallist = [];
			uci.sections('netcombiner', 'tunnel', tunnel => o.value(tunnel['.name']));
			return uci.get('network', section_id, 'tunnel');
		});
	}
});
