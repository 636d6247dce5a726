<?php

/* In place of OPNsense's framework: as much of it as the plugin's PHP calls, with a model that
   takes whatever it is told. What configd is asked is recorded, and answered from a list. */

namespace OPNsense\Base {
    class Node
    {
        public $children = [];
        public $value = '';
        public $uuid = null;

        public function __construct($content = '', $uuid = null)
        {
            $this->uuid = $uuid;
            if (is_array($content)) {
                foreach ($content as $name => $child) {
                    $this->children[$name] = new Node($child, preg_match('/^[0-9a-f]+-/', $name) ? $name : null);
                }
            } else {
                $this->value = $content;
            }
        }

        public function __get($name)
        {
            return $this->children[$name] ?? new Node();
        }

        public function __toString()
        {
            return $this->value;
        }

        public function secret()
        {
            return $this->value;
        }

        public function iterateItems()
        {
            yield from $this->children;
        }

        public function Add()
        {
            $uuid = 'add-' . count($this->children);
            return $this->children[$uuid] = new Node([], $uuid);
        }

        public function del($uuid)
        {
            unset($this->children[$uuid]);
        }

        public function getAttribute($name)
        {
            return $this->$name;
        }

        public function setNodes($values)
        {
            foreach ($values as $name => $value) {
                $this->children[$name] = new Node($value);
            }
        }

        public function plain()
        {
            return $this->children ? array_map(fn($child) => $child->plain(), $this->children) : $this->value;
        }
    }

    class BaseModel
    {
        public static $root = null;
        public static $wrong = [];

        public function __get($name)
        {
            return self::$root->$name;
        }

        public function getNodeByReference($path)
        {
            $node = self::$root;
            foreach (explode('.', $path) as $name) {
                if (!isset($node->children[$name])) {
                    return null;
                }
                $node = $node->children[$name];
            }
            return $node;
        }

        public function performValidation($all = false)
        {
            return self::$wrong;
        }
    }

    class Message
    {
        public function __construct(public $field, public $message)
        {
        }

        public function getField()
        {
            return $this->field;
        }

        public function getMessage()
        {
            return $this->message;
        }
    }

    class IndexController
    {
    }

    class ApiControllerBase
    {
        public static $readOnly = false;
        public $request;

        public function throwReadOnly()
        {
            if (self::$readOnly) {
                throw new \Exception('read-only');
            }
        }

        public function runInterfaceRegistration()
        {
        }
    }

    class ApiMutableServiceControllerBase extends ApiControllerBase
    {
    }

    class ApiMutableModelControllerBase extends ApiControllerBase
    {
        public static $saved = false;
        private $model = null;

        protected function getModel()
        {
            return $this->model ??= new (static::$internalModelClass)();
        }

        protected function delBase($path, $uuid)
        {
            $this->getModel()->getNodeByReference($path)->del($uuid);
            return ['result' => 'deleted'];
        }

        protected function save($all = false, $unchecked = false)
        {
            $this->throwReadOnly();
            self::$saved = true;
            return ['result' => 'saved'];
        }
    }
}

namespace OPNsense\Base\FieldTypes {
    class UpdateOnlyTextField
    {
        protected $internalValue = '';

        public function setValue($value)
        {
            if ($value != '') {
                $this->internalValue = $value;
            }
        }

        public function getValue(): string
        {
            return $this->internalValue;
        }

        protected function getValidationMessage()
        {
            return 'wrong';
        }
    }
}

namespace OPNsense\Base\Validators {
    class CallbackValidator
    {
        public function __construct(public $options)
        {
        }
    }
}

namespace OPNsense\Core {
    class Backend
    {
        public static $answers = [];
        public static $asked = [];

        public function configdRun($event)
        {
            self::$asked[] = $event;
            return self::$answers[$event] ?? null;
        }

        public function configdpRun($event, $parameters)
        {
            $file = $parameters[0];
            self::$asked[] = $event . ' ' . sprintf('%o', fileperms($file) & 0777) . ' ' . $file;
            self::$asked[] = 'in the file: ' . file_get_contents($file);
            return self::$answers[$event] ?? null;
        }
    }

    class Config
    {
        public static $object = null;

        public static function getInstance()
        {
            return new self();
        }

        public function lock()
        {
        }

        public function object()
        {
            return self::$object;
        }
    }
}

namespace OPNsense\Routing {
    class Gateways
    {
        public static $all = [];

        public function gatewaysIndexedByName()
        {
            return self::$all;
        }
    }
}

namespace {
    if (!function_exists('gettext')) {
        function gettext($text)
        {
            return $text;
        }
    }

    function service_log($text, $verbose)
    {
    }

    function configd_run($event)
    {
        OPNsense\Core\Backend::$asked[] = $event;
    }

    class Firewall
    {
        public $calls = [];

        public function registerAnchor($name, $type, $priority, $placement)
        {
            $this->calls[] = ['anchor', $name, $type, $priority, $placement];
        }

        public function registerFilterRule($priority, $rule)
        {
            $this->calls[] = ['rule', $rule];
        }
    }

    class Request
    {
        public function __construct(private $post)
        {
        }

        public function isPost()
        {
            return $this->post !== null;
        }

        public function getPost($name)
        {
            return $this->post[$name] ?? null;
        }
    }

    /* scenario.php of a test asks one thing; JSON in, JSON out. */
    $task = json_decode(stream_get_contents(STDIN), true);
    OPNsense\Base\BaseModel::$root = new OPNsense\Base\Node($task['model'] ?? []);
    OPNsense\Base\BaseModel::$wrong = array_map(fn($one) => new OPNsense\Base\Message(...$one), $task['wrong'] ?? []);
    OPNsense\Base\ApiControllerBase::$readOnly = $task['readOnly'] ?? false;
    OPNsense\Core\Backend::$answers = $task['answers'] ?? [];
    OPNsense\Core\Config::$object = json_decode(json_encode(['interfaces' => $task['interfaces'] ?? new stdClass()]));
    OPNsense\Routing\Gateways::$all = $task['gateways'] ?? [];

    $app = $argv[1] . 'opnsense/mvc/app/';
    spl_autoload_register(function ($class) use ($app) {
        $path = strtr($class, '\\', '/') . '.php';
        require_once is_file($app . 'models/' . $path) ? $app . 'models/' . $path : $app . 'controllers/' . $path;
    });
    require_once $argv[1] . 'etc/inc/plugins.inc.d/netcombiner.inc';

    $firewall = new Firewall();
    try {
        if (isset($task['function'])) {
            $answer = $task['function'] == 'netcombiner_firewall' ? netcombiner_firewall($firewall) : $task['function']();
        } elseif (isset($task['key'])) {
            $field = new OPNsense\Netcombiner\FieldTypes\KeyField();
            $field->setValue($task['key']);
            $field->setValue('');
            $answer = [$field->getValue(), $field->isSet(), $field->secret(), ($field->getValidators()[0]->options['callback'])('')];
        } else {
            $class = 'OPNsense\\Netcombiner\\Api\\' . $task['controller'] . 'Controller';
            $controller = new $class();
            $controller->request = new Request($task['post'] ?? null);
            $answer = $controller->{$task['action'] . 'Action'}(...($task['arguments'] ?? []));
        }
    } catch (Exception $e) {
        $answer = 'exception: ' . $e->getMessage();
    }
    echo json_encode([
        'answer' => $answer,
        'asked' => OPNsense\Core\Backend::$asked,
        'firewall' => $firewall->calls,
        'saved' => OPNsense\Base\ApiMutableModelControllerBase::$saved,
        'model' => OPNsense\Base\BaseModel::$root->plain(),
    ], JSON_UNESCAPED_SLASHES);
}
