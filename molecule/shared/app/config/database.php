<?php

// MariaDB for what must last, and the four Redis databases.
// 0 cache, 1 cache store, 2 queues (never to be flushed), 3 sessions.

$redis = static fn (string $database): array => [
    'host' => env('REDIS_HOST', '127.0.0.1'),
    'port' => env('REDIS_PORT', 6379),
    'database' => $database,
    'timeout' => 2.0,
    'read_timeout' => 10.0,
];

return [
    'default' => 'mysql',
    'migrations' => 'migrations',
    'connections' => [
        'mysql' => [
            'driver' => 'mysql',
            'host' => env('DB_HOST', '127.0.0.1'),
            'port' => env('DB_PORT', '3306'),
            'unix_socket' => env('DB_SOCKET', ''),
            'database' => env('DB_DATABASE', 'chom'),
            'username' => env('DB_USERNAME', 'chom'),
            'password' => env('DB_PASSWORD', ''),
            'charset' => 'utf8mb4',
            'collation' => 'utf8mb4_unicode_ci',
            'prefix' => '',
            'strict' => true,
            'options' => [PDO::ATTR_TIMEOUT => 2],
        ],
    ],
    'redis' => [
        'client' => 'phpredis',
        // No prefix, so that an operator finds the queue under the name it is known by: queues:default.
        'options' => ['prefix' => ''],
        'default' => $redis('0'),
        'cache' => $redis('1'),
        'queue' => $redis('2'),
        'session' => $redis('3'),
    ],
];
