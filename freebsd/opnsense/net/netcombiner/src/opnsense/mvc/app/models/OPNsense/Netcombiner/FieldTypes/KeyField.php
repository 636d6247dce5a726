<?php

namespace OPNsense\Netcombiner\FieldTypes;

use OPNsense\Base\FieldTypes\UpdateOnlyTextField;
use OPNsense\Base\Validators\CallbackValidator;

/**
 * A tunnel's key. An UpdateOnlyTextField keeps its value out of forms, but a search, and the
 * cache of a model on the disk, take getValue(): here it is empty, too, and only secret()
 * gives the key out.
 */
class KeyField extends UpdateOnlyTextField
{
    public function getValue(): string
    {
        return '';
    }

    public function isSet(): bool
    {
        return $this->secret() !== '';
    }

    /**
     * @return string the key, in base64; empty if there is none yet
     */
    public function secret()
    {
        return (string)$this->internalValue;
    }

    /**
     * The framework would validate getValue().
     */
    public function getValidators()
    {
        return [new CallbackValidator(['callback' => function () {
            /* What is over of the last character's bits is zero, as the daemon wants it. */
            if (preg_match('/^[0-9a-zA-Z+\/]{42}[AEIMQUYcgkosw048]=$/D', $this->secret())) {
                return [];
            }
            return [$this->getValidationMessage()];
        }])];
    }
}
