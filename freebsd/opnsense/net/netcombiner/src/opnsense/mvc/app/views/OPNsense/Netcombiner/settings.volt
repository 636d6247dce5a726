<script>
    $(document).ready(function () {
        const api = '/api/netcombiner/settings/';

        mapDataToFormUI({ 'frm_general': api + 'get' }).done(function () {
            formatTokenizersUI();
            $('.selectpicker').selectpicker('refresh');
        });

        /* grid is the table of one kind of thing, and its dialog. */
        function grid(table, kind) {
            return $('#' + table).UIBootgrid({
                search: api + 'search_' + kind,
                get: api + 'get_' + kind + '/',
                set: api + 'set_' + kind + '/',
                add: api + 'add_' + kind + '/',
                del: api + 'del_' + kind + '/',
                toggle: api + 'toggle_' + kind + '/',
                options: {
                    formatters: {
                        device: function (column, row) {
                            return 'nc' + parseInt(row.instance);
                        }
                    }
                }
            });
        }

        grid("{{ gridTunnel['table_id'] }}", 'tunnel');
        grid("{{ gridPath['table_id'] }}", 'path');
        grid("{{ gridListen['table_id'] }}", 'listen');

        function reload() {
            ["{{ gridTunnel['table_id'] }}", "{{ gridPath['table_id'] }}", "{{ gridListen['table_id'] }}"].forEach(function (table) {
                $('#' + table).bootgrid('reload');
            });
            $(document).trigger('settings-changed');
        }

        /* The key is not on the page until it is asked for. */
        const key = $('#tunnel\\.key');
        let edited = null; // the tunnel that the dialog is about
        $(document).ajaxSend(function (event, request, settings) {
            const asked = settings.url.match(/\/get_tunnel\/([0-9a-f-]*)$/);
            if (asked) {
                edited = asked[1];
                key.attr('type', 'password').val('');
            }
        });

        function fillKey(answer) {
            if (answer.status === 'ok') {
                key.attr('type', 'text').val(answer.key);
            }
        }

        $('#control_label_tunnel\\.key').append($('#key_buttons').detach().show());
        $('#key_generate').click(function () {
            ajaxCall(api + 'generate_key', {}, fillKey);
        });
        $('#key_reveal').click(function () {
            if (edited) {
                ajaxCall(api + 'reveal_key/' + edited, {}, fillKey);
            }
        });
        $('#{{ gridTunnel["edit_dialog_id"] }}').on('hidden.bs.modal', function () {
            key.attr('type', 'password').val('');
        });

        /* options fills a list to choose from. */
        function options(id, choices) {
            const list = $('#' + id.replace('.', '\\.')).empty();
            choices.forEach(function (choice) {
                list.append($('<option/>').val(choice.value).text(choice.label).prop('selected', choice.selected));
            });
            list.selectpicker('refresh');
        }

        function offerWANs(id) {
            return ajaxGet(api + 'wans', {}, function (answer) {
                options(id, (answer.rows || []).map(function (wan) {
                    return { value: wan.interface, label: wan.descr + ' (' + wan.device + '; ' + wan.gateways.join(', ') + ')', selected: true };
                }));
            });
        }

        /* chosen makes the choices of a model's field into those of a list. */
        function chosen(field) {
            return Object.keys(field || {}).filter(function (value) {
                return value !== '';
            }).map(function (value) {
                return { value: value, label: field[value].value, selected: field[value].selected == 1 };
            });
        }

        $('#token').click(function () {
            $('#token\\.text').val('');
            clearFormValidation('frm_dialogToken');
            offerWANs('token.interfaces');
            $('#dialogToken').modal('show');
        });

        $('#wans').click(function () {
            clearFormValidation('frm_dialogWans');
            offerWANs('wans.interfaces');
            ajaxGet(api + 'get_path/', {}, function (answer) {
                options('wans.tunnel', chosen(answer.path.tunnel));
                options('wans.transport', chosen(answer.path.transport));
            });
            $('#dialogWans').modal('show');
        });

        [['Token', 'token'], ['Wans', 'add_wans']].forEach(function (dialog) {
            $('#btn_dialog' + dialog[0] + '_save').click(function () {
                saveFormToEndpoint(api + dialog[1], 'frm_dialog' + dialog[0], function () {
                    $('#token\\.text').val('');
                    $('#dialog' + dialog[0]).modal('hide');
                    reload();
                }, true);
            });
        });

        $('#reconfigureAct').SimpleActionButton({
            onPreAction: function () {
                const saved = new $.Deferred();
                saveFormToEndpoint(api + 'set', 'frm_general', saved.resolve, true, saved.reject);
                return saved;
            },
            onAction: function () {
                updateServiceControlUI('netcombiner');
            }
        });
        updateServiceControlUI('netcombiner');

        /* A tab has an address, which the menu goes to. */
        function open() {
            $('#maintabs a[data-toggle="tab"]').filter(function () {
                return this.hash === window.location.hash;
            }).tab('show');
        }
        $('#maintabs a[data-toggle="tab"]').on('shown.bs.tab', function (event) {
            history.pushState(null, null, event.target.hash);
        });
        $(window).on('hashchange', open);
        open();
    });
</script>

<ul class="nav nav-tabs" data-tabs="tabs" id="maintabs">
    <li><a href="/ui/netcombiner/status">{{ lang._('Status') }}</a></li>
    <li class="active"><a data-toggle="tab" id="tab_tunnels" href="#tunnels">{{ lang._('Tunnels') }}</a></li>
    <li><a data-toggle="tab" id="tab_paths" href="#paths">{{ lang._('Paths') }}</a></li>
    <li><a data-toggle="tab" id="tab_listens" href="#listens">{{ lang._('Listeners') }}</a></li>
    <li><a href="/ui/diagnostics/log/core/netcombiner">{{ lang._('Log') }}</a></li>
</ul>

<div class="tab-content content-box">
    <div id="tunnels" class="tab-pane fade in active">
        <span id="key_buttons" style="display:none" class="pull-right">
            <button id="key_generate" type="button" class="btn btn-secondary" title="{{ lang._('Generate a new key.') }}"><i class="fa fa-fw fa-gear"></i></button>
            <button id="key_reveal" type="button" class="btn btn-secondary" title="{{ lang._('Show the key that is saved.') }}"><i class="fa fa-fw fa-eye"></i></button>
        </span>
        {{ partial('layout_partials/base_bootgrid_table', gridTunnel) }}
        <button id="token" type="button" class="btn btn-primary __ml">{{ lang._('Paste a token') }}</button>
    </div>
    <div id="paths" class="tab-pane fade in">
        {{ partial('layout_partials/base_bootgrid_table', gridPath) }}
        <button id="wans" type="button" class="btn btn-primary __ml">{{ lang._('Add from the WANs') }}</button>
    </div>
    <div id="listens" class="tab-pane fade in">
        {{ partial('layout_partials/base_bootgrid_table', gridListen) }}
    </div>
    {{ partial('layout_partials/base_form', ['fields': generalForm, 'id': 'frm_general']) }}
</div>
{{ partial('layout_partials/base_apply_button', ['data_endpoint': '/api/netcombiner/service/reconfigure', 'data_service_widget': 'netcombiner']) }}
{{ partial('layout_partials/base_dialog', ['fields': formTunnel, 'id': gridTunnel['edit_dialog_id'], 'label': lang._('Tunnel')]) }}
{{ partial('layout_partials/base_dialog', ['fields': formPath, 'id': gridPath['edit_dialog_id'], 'label': lang._('Path')]) }}
{{ partial('layout_partials/base_dialog', ['fields': formListen, 'id': gridListen['edit_dialog_id'], 'label': lang._('Listener')]) }}
{{ partial('layout_partials/base_dialog', ['fields': tokenForm, 'id': 'dialogToken', 'label': lang._('Paste a token')]) }}
{{ partial('layout_partials/base_dialog', ['fields': wansForm, 'id': 'dialogWans', 'label': lang._('Add paths from the WANs')]) }}
