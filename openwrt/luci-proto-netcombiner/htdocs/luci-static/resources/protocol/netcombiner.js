'use strict';
'require form';
'require network';
'require uci';

/* A tunnel as an interface: zones, routes and metrics are then netifd's, and the options
   for them are those that LuCI has for every protocol. */
return network.registerProtocol('netcombiner', {
	getI18n() {
		return _('Netcombiner: several links, one connection');
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

	renderFormOptions(s) {
		return L.resolveDefault(uci.load('netcombiner')).then(() => {
			const o = s.taboption('general', form.Value, 'tunnel', _('Tunnel'),
				_('The tunnel that this interface stands for, from <a href="%s">Services, Netcombiner</a>. Empty: the one of this interface\'s own name.')
					.format(L.url('admin/services/netcombiner/tunnel')));
			o.datatype = 'and(uciname,maxlength(15))';
			o.placeholder = s.section;
			uci.sections('netcombiner', 'tunnel', tunnel => o.value(tunnel['.name']));
		});
	}
});
