<?php

// Builds the application container and names the two kernels and the exception handler.

$application = new Illuminate\Foundation\Application(dirname(__DIR__));

$application->singleton(Illuminate\Contracts\Http\Kernel::class, App\Http\Kernel::class);
$application->singleton(Illuminate\Contracts\Console\Kernel::class, App\Console\Kernel::class);
$application->singleton(Illuminate\Contracts\Debug\ExceptionHandler::class, App\Exceptions\Handler::class);

return $application;
