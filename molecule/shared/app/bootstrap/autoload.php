<?php

// Loads the framework from the distribution's packages and our own classes from app/.
// There is no Composer here: Debian ships one autoloader per library and one that includes them all.

require_once '/usr/share/php/Illuminate/autoload.php';

spl_autoload_register(static function (string $class): void {
    if (! str_starts_with($class, 'App\\')) {
        return;
    }
    $file = __DIR__.'/../app/'.str_replace('\\', '/', substr($class, strlen('App\\'))).'.php';
    if (is_file($file)) {
        require $file;
    }
});
