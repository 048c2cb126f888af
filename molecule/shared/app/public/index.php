<?php

// The front controller: every request that nginx hands to PHP begins here.

$maintenance = __DIR__.'/../storage/framework/maintenance.php';
if (file_exists($maintenance)) {
    require $maintenance;
}

require __DIR__.'/../bootstrap/autoload.php';

$application = require __DIR__.'/../bootstrap/app.php';
$kernel = $application->make(Illuminate\Contracts\Http\Kernel::class);
$request = Illuminate\Http\Request::capture();
$response = $kernel->handle($request)->send();
$kernel->terminate($request, $response);
