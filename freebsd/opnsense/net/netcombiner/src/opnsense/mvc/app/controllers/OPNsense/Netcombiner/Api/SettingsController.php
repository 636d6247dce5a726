<?php

namespace OPNsense\Netcombiner\Api;

use OPNsense\Base\ApiMutableModelControllerBase;
use OPNsense\Core\Backend;
use OPNsense\Core\Config;
use OPNsense\Routing\Gateways;

class SettingsController extends ApiMutableModelControllerBase
{
    protected static $internalModelName = 'netcombiner';
    protected static $internalModelClass = '\OPNsense\Netcombiner\Netcombiner';

    public function searchTunnelAction()
    {
        return $this->searchBase('tunnels.tunnel');
    }

    public function getTunnelAction($uuid = null)
    {
        return $this->getBase('tunnel', 'tunnels.tunnel', $uuid);
    }

    public function addTunnelAction()
    {
        return $this->addBase('tunnel', 'tunnels.tunnel');
    }

    public function setTunnelAction($uuid)
    {
        return $this->setBase('tunnel', 'tunnels.tunnel', $uuid);
    }

    /**
     * Its paths and listeners go with it.
     */
    public function delTunnelAction($uuid)
    {
        if ($this->request->isPost()) {
            Config::getInstance()->lock();
            foreach (['paths.path', 'listens.listen'] as $kind) {
                $nodes = $this->getModel()->getNodeByReference($kind);
                foreach (iterator_to_array($nodes->iterateItems()) as $id => $node) {
                    if (in_array((string)$node->tunnel, explode(',', $uuid))) {
                        $nodes->del($id);
                    }
                }
            }
        }
        return $this->delBase('tunnels.tunnel', $uuid);
    }

    public function toggleTunnelAction($uuid, $enabled = null)
    {
        return $this->toggleBase('tunnels.tunnel', $uuid, $enabled);
    }

    public function searchPathAction()
    {
        return $this->searchBase('paths.path');
    }

    public function getPathAction($uuid = null)
    {
        return $this->getBase('path', 'paths.path', $uuid);
    }

    public function addPathAction()
    {
        return $this->addBase('path', 'paths.path');
    }

    public function setPathAction($uuid)
    {
        return $this->setBase('path', 'paths.path', $uuid);
    }

    public function delPathAction($uuid)
    {
        return $this->delBase('paths.path', $uuid);
    }

    public function togglePathAction($uuid, $enabled = null)
    {
        return $this->toggleBase('paths.path', $uuid, $enabled);
    }

    public function searchListenAction()
    {
        return $this->searchBase('listens.listen');
    }

    public function getListenAction($uuid = null)
    {
        return $this->getBase('listen', 'listens.listen', $uuid);
    }

    public function addListenAction()
    {
        return $this->addBase('listen', 'listens.listen');
    }

    public function setListenAction($uuid)
    {
        return $this->setBase('listen', 'listens.listen', $uuid);
    }

    public function delListenAction($uuid)
    {
        return $this->delBase('listens.listen', $uuid);
    }

    public function toggleListenAction($uuid, $enabled = null)
    {
        return $this->toggleBase('listens.listen', $uuid, $enabled);
    }

    /**
     * @return array key: a new one, which is nowhere else yet
     */
    public function generateKeyAction()
    {
        if (!$this->request->isPost()) {
            return ['status' => 'failed'];
        }
        return ['status' => 'ok', 'key' => trim((new Backend())->configdRun('netcombiner genkey') ?? '')];
    }

    /**
     * The one place that gives a key out, to somebody who asks for it and may change it.
     * @param string $uuid of the tunnel
     * @return array key
     */
    public function revealKeyAction($uuid)
    {
        $this->throwReadOnly();
        $tunnel = $this->request->isPost() ? $this->getModel()->getNodeByReference('tunnels.tunnel.' . $uuid) : null;
        if ($tunnel === null) {
            return ['status' => 'failed'];
        }
        return ['status' => 'ok', 'key' => $tunnel->key->secret()];
    }

    /**
     * @return array rows: each interface that has a gateway, with its device and gateways
     */
    public function wansAction()
    {
        $rows = [];
        $interfaces = Config::getInstance()->object()->interfaces;
        foreach ((new Gateways())->gatewaysIndexedByName() as $name => $gateway) {
            $interface = $gateway['interface'] ?? '';
            if ($interface === '' || !isset($interfaces->$interface) || preg_match('/^nc[0-9]+$/', $gateway['if'] ?? '')) {
                continue;
            }
            if (!isset($rows[$interface])) {
                $descr = (string)$interfaces->$interface->descr;
                $rows[$interface] = [
                    'interface' => $interface,
                    'descr' => $descr !== '' ? $descr : strtoupper($interface),
                    'device' => $gateway['if'] ?? '',
                    'gateways' => [],
                ];
            }
            $rows[$interface]['gateways'][] = $name . (empty($gateway['gateway']) ? '' : ' ' . $gateway['gateway']);
        }
        return ['rows' => array_values($rows)];
    }

    /**
     * Adds a path of a tunnel for each WAN that is named.
     */
    public function addWansAction()
    {
        $given = $this->request->isPost() ? $this->request->getPost('wans') : null;
        if (!is_array($given)) {
            return ['result' => 'failed'];
        }
        Config::getInstance()->lock();
        $way = ['transport' => $given['transport'] ?? '', 'remote' => $given['remote'] ?? ''];
        $this->addPaths((string)($given['tunnel'] ?? ''), (string)($given['interfaces'] ?? ''), $way);
        return $this->saveAll('wans');
    }

    /**
     * Makes a tunnel of the token that the remote portal printed, and a path for each WAN.
     */
    public function tokenAction()
    {
        $given = $this->request->isPost() ? $this->request->getPost('token') : null;
        if (!is_array($given)) {
            return ['result' => 'failed'];
        }
        $said = trim($this->readToken((string)($given['text'] ?? '')));
        $token = json_decode($said, true);
        if (empty($token['paths'])) {
            return ['result' => 'failed', 'validations' => ['token.text' => $said ?: gettext('configd does not answer')]];
        }
        Config::getInstance()->lock();
        $tunnel = $this->getModel()->tunnels->tunnel->Add();
        $tunnel->setNodes([
            'name' => (string)($given['name'] ?? ''),
            'role' => 'local',
            'key' => $token['key'],
            'address' => implode(',', $token['address']),
            'suite' => $token['suite'],
            'routing' => $token['routing'],
        ]);
        $uuid = $tunnel->getAttribute('uuid');
        $this->addPaths($uuid, (string)($given['interfaces'] ?? ''), $token['paths'][0]);
        return $this->saveAll('token');
    }

    /**
     * The token goes to the script in a file: an argument could be seen by everybody.
     */
    private function readToken($text)
    {
        $file = tempnam('/tmp', 'netcombiner_token_');
        try {
            file_put_contents($file, $text);
            return (new Backend())->configdpRun('netcombiner token', [$file]) ?? '';
        } finally {
            unlink($file);
        }
    }

    private function addPaths($tunnel, $interfaces, $way)
    {
        $object = Config::getInstance()->object()->interfaces;
        foreach (array_filter(explode(',', $interfaces)) as $interface) {
            $descr = isset($object->$interface) ? (string)$object->$interface->descr : '';
            $name = trim(preg_replace('/[^0-9a-z._-]+/', '-', strtolower($descr !== '' ? $descr : $interface)), '-_.');
            $this->getModel()->paths->path->Add()->setNodes([
                'tunnel' => $tunnel,
                'name' => substr($name !== '' ? $name : $interface, 0, 32),
                'interface' => $interface,
                'transport' => $way['transport'],
                'remote' => $way['remote'],
            ]);
        }
    }

    /**
     * Saves if all that is new is right. A form has fewer fields than the model: what is
     * wrong in none of its own is told beside the first.
     */
    private function saveAll($form)
    {
        $words = [];
        foreach ($this->getModel()->performValidation() as $message) {
            $words[] = preg_replace('/^.*\./', '', $message->getField()) . ': ' . $message->getMessage();
        }
        if ($words) {
            $first = ['wans' => 'wans.interfaces', 'token' => 'token.name'][$form];
            return ['result' => 'failed', 'validations' => [$first => implode('; ', array_unique($words))]];
        }
        return $this->save(false, true);
    }
}
