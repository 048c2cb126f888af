<?php

// The path of a request: maintenance check, a counter, then the route.

namespace App\Http;

use App\Http\Middleware\CountRequests;
use App\Http\Middleware\RefuseDuringMaintenance;
use Illuminate\Cookie\Middleware\AddQueuedCookiesToResponse;
use Illuminate\Cookie\Middleware\EncryptCookies;
use Illuminate\Foundation\Http\Kernel as HttpKernel;
use Illuminate\Session\Middleware\StartSession;

class Kernel extends HttpKernel
{
    protected $middleware = [RefuseDuringMaintenance::class, CountRequests::class];

    protected $middlewareGroups = [
        'page' => [EncryptCookies::class, AddQueuedCookiesToResponse::class, StartSession::class],
    ];
}
