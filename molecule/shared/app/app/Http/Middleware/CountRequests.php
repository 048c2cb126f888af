<?php

// Counts answered requests by status in Redis, for /metrics. Counting never fails a request.

namespace App\Http\Middleware;

use Closure;
use Illuminate\Http\Request;
use Illuminate\Support\Facades\Redis;
use RedisException;
use Symfony\Component\HttpFoundation\Response;

class CountRequests
{
    public const KEY = 'metrics:requests';

    public function handle(Request $request, Closure $next): Response
    {
        return $next($request);
    }

    public function terminate(Request $request, Response $response): void
    {
        try {
            Redis::connection('default')->hincrby(self::KEY, (string) $response->getStatusCode(), 1);
        } catch (RedisException $error) {
            error_log('request not counted: '.$error->getMessage());
        }
    }
}
