<?php

/* The plugin's model and API on OPNsense's own framework: core.php CORE PLUGIN FOLDER. The
   FOLDER holds a config.xml. Calls come as JSON, and so do the answers. */

namespace Phalcon\Filter {
    /* All validators of the model are OPNsense's own: none is left for Phalcon. */
    class Validation
    {
        public function validate($data)
        {
            return [];
        }
    }
}

namespace {
    error_reporting(E_ALL & ~E_DEPRECATED);
    [, $core, $plugin, $folder] = $argv;
    $app = $core . '/src/opnsense/mvc/app/';
    require_once $app . 'config/AppConfig.php';
    require_once $app . 'library/OPNsense/Autoload/Loader.php';
    new OPNsense\Core\AppConfig([
        'application' => [
            'controllersDir' => $app . 'controllers/', 'modelsDir' => $app . 'models/', 'libraryDir' => $app . 'library/',
            'configDefault' => '/nonexistent', 'configDir' => $folder, 'cacheDir' => $folder, 'tempDir' => $folder,
        ],
        'globals' => ['debug' => false, 'owner' => 'root:root', 'simulate_mode' => true],
    ]);
    $ours = $plugin . 'opnsense/mvc/app/';
    (new OPNsense\Autoload\Loader([$app . 'controllers/', $app . 'models/', $app . 'library/', $ours . 'controllers/', $ours . 'models/']))->register();
    require_once $plugin . 'etc/inc/plugins.inc.d/netcombiner.inc';

    class Request extends OPNsense\Mvc\Request
    {
        public $values = [];
        public $get = false;

        public function __construct()
        {
        }

        public function isPost(): bool
        {
            return !$this->get;
        }

        public function isGet(): bool
        {
            return $this->get;
        }

        public function getPost(?string $name = null, ?string $filter = null, mixed $default = null)
        {
            return $this->values[$name] ?? $default;
        }

        public function hasPost(string $name): bool
        {
            return isset($this->values[$name]);
        }

        public function get(?string $name = null, ?string $filter = null, mixed $default = null)
        {
            return $default;
        }
    }

    class Settings extends OPNsense\Netcombiner\Api\SettingsController
    {
        public function __construct()
        {
        }

        protected function throwReadOnly()
        {
        }
    }

    $answers = [];
    foreach (json_decode(stream_get_contents(STDIN), true) as $call) {
        if ($call['action'] == 'firewall') {
            $firewall = new OPNsense\Firewall\Plugin();
            netcombiner_firewall($firewall);
            $answers[] = $firewall->anchorToText('nat', 'head') . $firewall->anchorToText('fw', 'head') . $firewall->outputFilterRules();
            continue;
        }
        $controller = new Settings();
        $controller->request = new Request();
        $controller->request->get = $call['get'] ?? false;
        $controller->request->values = $call['post'] ?? [];
        $answers[] = $controller->{$call['action'] . 'Action'}(...($call['arguments'] ?? []));
    }
    echo json_encode($answers, JSON_UNESCAPED_SLASHES);
}
