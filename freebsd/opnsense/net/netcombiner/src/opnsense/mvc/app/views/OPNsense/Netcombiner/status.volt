<style>
    .netcombiner h3 { margin-top: 0; }
    .netcombiner .numbers { white-space: nowrap; text-align: right; }
    .netcombiner .content-box { padding: 15px; margin-bottom: 15px; overflow-x: auto; }
</style>
<script>
    /* What the tunnels do, asked anew every two seconds. Whatever comes from elsewhere is put
       into the page as text. */
    $(document).ready(function () {
        const place = document.getElementById('netcombiner');
        const every = 2000;
        const looks = { up: 'success', standby: 'info', connecting: 'warning', failed: 'danger', down: 'default' };
        const words = {
            up: "{{ lang._('Up') }}",
            standby: "{{ lang._('Standby') }}",
            connecting: "{{ lang._('Connecting') }}",
            failed: "{{ lang._('Failed') }}",
            down: "{{ lang._('Off') }}",
            established: "{{ lang._('Connected') }}",
            handshake: "{{ lang._('Connecting') }}"
        };
        let before = {}; // the last answer of each tunnel, by its device

        function element(tag, className, ...children) {
            const made = document.createElement(tag);
            made.className = className;
            made.append(...children);
            return made;
        }

        function scaled(value, units) {
            let i = 0;
            for (; value >= 1000 && i < units.length - 1; i++) {
                value /= 1000;
            }
            return value.toFixed(i == 0 || value >= 100 ? 0 : value >= 10 ? 1 : 2) + ' ' + units[i];
        }

        const rate = bits => bits === null ? '–' : scaled(bits, ['bit/s', 'kbit/s', 'Mbit/s', 'Gbit/s']);
        const size = bytes => scaled(bytes, ['B', 'kB', 'MB', 'GB', 'TB', 'PB']);
        const time = ms => ms > 0 ? ms.toFixed(ms < 10 ? 1 : 0) + ' ms' : '–';
        const percent = (part, digits) => part === null ? '–' : (100 * part).toFixed(digits) + ' %';

        function duration(seconds) {
            const days = Math.floor(seconds / 86400), hours = Math.floor(seconds / 3600) % 24, minutes = Math.floor(seconds / 60) % 60;
            return days > 0 ? days + ' d ' + hours + ' h' : hours > 0 ? hours + ' h ' + minutes + ' min' : minutes + ' min ' + Math.floor(seconds % 60) + ' s';
        }

        /* speed is what a counter has grown by since the last answer, in bit/s by the daemon's
           own clock; null where that is not known, as after a restart. */
        function speed(now, then, seconds) {
            return then === undefined || seconds <= 0 || now < then ? null : (now - then) * 8 / seconds;
        }

        /* measured adds to a tunnel and its paths how fast each of them is, and to a path its
           share: of what moved since the last answer, or else of all that ever did. */
        function measured(tunnel) {
            const then = before[tunnel.interface];
            const seconds = then ? tunnel.uptime_s - then.uptime_s : 0;
            const add = (one, other) => {
                one.in = speed(one.rx.bytes, other ? other.rx.bytes : undefined, seconds);
                one.out = speed(one.tx.bytes, other ? other.tx.bytes : undefined, seconds);
            };
            add(tunnel.tunnel, then && then.tunnel);
            for (const path of tunnel.paths) {
                add(path, then && then.paths.find(other => other.name === path.name));
            }
            const moved = path => path.in + path.out, ever = path => path.rx.bytes + path.tx.bytes;
            const sum = of => tunnel.paths.reduce((all, path) => all + of(path), 0);
            const of = sum(moved) > 0 ? moved : ever, all = sum(of);
            for (const path of tunnel.paths) {
                path.share = all > 0 ? of(path) / all : null;
            }
            return tunnel;
        }

        function label(state) {
            return element('span', 'label label-' + (looks[{ established: 'up', handshake: 'connecting' }[state] || state] || 'default'), words[state] || state);
        }

        function row(path) {
            const cells = [path.name, label(path.state), path.transport, (path.local || '–') + ' → ' + (path.remote || '–'), String(path.metric)];
            const numbers = [rate(path.in), rate(path.out), time(path.rtt_ms), percent(path.loss, 1), percent(path.share, 0)];
            const quota = path.quota ? size(path.quota.used_bytes) + ' / ' + size(path.quota.limit_bytes) + ', ' + path.quota.resets : '–';
            return element('tr', '', ...cells.map(cell => element('td', '', cell)), ...numbers.map(cell => element('td', 'numbers', cell)),
                element('td', 'numbers', quota));
        }

        function table(paths) {
            const left = ["{{ lang._('Path') }}", "{{ lang._('State') }}", "{{ lang._('Transport') }}", "{{ lang._('From → to') }}", "{{ lang._('Metric') }}"];
            const right = ["{{ lang._('In') }}", "{{ lang._('Out') }}", "{{ lang._('RTT') }}", "{{ lang._('Loss') }}", "{{ lang._('Share') }}", "{{ lang._('Quota') }}"];
            const head = element('tr', '', ...left.map(cell => element('th', '', cell)), ...right.map(cell => element('th', 'numbers', cell)));
            return element('table', 'table table-condensed table-striped', element('thead', '', head), element('tbody', '', ...paths.map(row)));
        }

        function title(device, names) {
            return names[device] ? names[device] + ' (' + device + ') ' : device + ' ';
        }

        function box(tunnel, names) {
            const both = tunnel.tunnel;
            const line = [
                "{{ lang._('In') }} " + rate(both.in), "{{ lang._('Out') }} " + rate(both.out), 'MTU ' + tunnel.mtu,
                tunnel.session.suite || '', "{{ lang._('runs for') }} " + duration(tunnel.uptime_s)
            ];
            const hints = (tunnel.hints || []).map(hint => element('p', 'text-warning', hint));
            return element('div', 'content-box', element('h3', '', title(tunnel.interface, names), label(tunnel.session.state)),
                element('p', '', line.filter(word => word).join(' · ')), ...hints, table(tunnel.paths));
        }

        function trouble(device, why, names) {
            return element('div', 'content-box', element('h3', '', title(device, names), label('down')), element('p', 'text-danger', why));
        }

        function show(answer) {
            const tunnels = answer.tunnels || [], problems = answer.problems || {}, names = answer.names || {};
            const boxes = tunnels.map(tunnel => box(measured(tunnel), names));
            boxes.push(...Object.keys(problems).map(device => trouble(device, problems[device], names)));
            if (boxes.length == 0) {
                boxes.push(element('div', 'content-box', "{{ lang._('No tunnel is enabled: see Tunnels, and paste a token there.') }}"));
            }
            place.replaceChildren(...boxes);
            before = Object.fromEntries(tunnels.map(tunnel => [tunnel.interface, tunnel]));
        }

        function ask() {
            if (document.hidden) {
                setTimeout(ask, every);
                return;
            }
            ajaxGet('/api/netcombiner/status/show', {}, function (answer, status) {
                if (status === 'success') {
                    show(answer);
                } else {
                    place.replaceChildren(element('div', 'content-box text-danger', "{{ lang._('This firewall does not answer.') }}"));
                }
                setTimeout(ask, every);
            });
        }

        updateServiceControlUI('netcombiner');
        ask();
    });
</script>

<div id="netcombiner" class="netcombiner"></div>
