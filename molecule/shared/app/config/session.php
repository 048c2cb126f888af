<?php

// Sessions live in Redis database 3: flushing that one logs everybody out.

return [
    'driver' => 'redis',
    'connection' => 'session',
    'store' => null,
    'lifetime' => 120,
    'expire_on_close' => false,
    'encrypt' => false,
    'files' => storage_path('framework/sessions'),
    'lottery' => [2, 100],
    'cookie' => 'chom_session',
    'path' => '/',
    'domain' => null,
    'secure' => false,
    'http_only' => true,
    'same_site' => 'lax',
];
