{# The tunnels that are to run, and which of them only while an address of CARP is this
   host's: IFACE=DEVICE,VHID. The script of rc.d is skipped at boot, since the plugin's
   own hook starts the tunnels, and looks at CARP before. #}
{% set tunnels = [] %}
{% set carp = [] %}
{% if not helpers.empty('OPNsense.netcombiner.general.enabled') %}
{%   for tunnel in helpers.toList('OPNsense.netcombiner.tunnels.tunnel') if tunnel.enabled == '1' %}
{%     set device = 'nc%d'|format(tunnel.instance|int) %}
{%     do tunnels.append(device) %}
{%     set vip = helpers.getUUID(tunnel.carp_depend_on) if tunnel.carp_depend_on else {} %}
{%     if vip.vhid %}
{%       do carp.append('%s=%s,%d'|format(device, helpers.physical_interface(vip.interface), vip.vhid|int)) %}
{%     endif %}
{%   endfor %}
{% endif %}
netcombiner_enable="{{ 'YES' if tunnels else 'NO' }}"
netcombiner_skip="YES"
netcombiner_interfaces="{{ tunnels|join(' ') }}"
netcombiner_carp={{ carp|join(' ')|shlex_quote }}
