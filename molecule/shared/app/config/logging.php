<?php

// One log file, storage/logs/laravel.log, kept open by the workers for as long as they live.

use Monolog\Handler\NullHandler;

return [
    'default' => 'single',
    'deprecations' => ['channel' => 'null', 'trace' => false],
    'channels' => [
        'single' => ['driver' => 'single', 'path' => storage_path('logs/laravel.log'), 'level' => env('LOG_LEVEL', 'info')],
        'null' => ['driver' => 'monolog', 'handler' => NullHandler::class],
    ],
];
