<?php

// The health endpoints: ready (load balancer), live, dependencies, security.

namespace App\Http\Controllers;

use App\Health\Dependencies;
use Illuminate\Http\JsonResponse;

class HealthController
{
    public function ready(Dependencies $dependencies): JsonResponse
    {
        $checks = array_map(
            static fn (array $result): array => ['ok' => $result['connected']] + array_intersect_key($result, ['error' => 1]),
            $dependencies->check(),
        );

        return $this->answer($checks);
    }

    public function live(): JsonResponse
    {
        return response()->json([
            'status' => 'ok',
            'time' => now()->toIso8601String(),
            'release' => require base_path('release.php'),
        ]);
    }

    public function dependencies(Dependencies $dependencies): JsonResponse
    {
        $results = $dependencies->check();
        $connected = ! in_array(false, array_column($results, 'connected'), true);

        return response()->json($results, $connected ? 200 : 503);
    }

    public function security(): JsonResponse
    {
        return $this->answer([
            'production' => ['ok' => app()->isProduction()],
            'debug_off' => ['ok' => ! config('app.debug')],
            'key_set' => ['ok' => strlen((string) config('app.key')) > 40],
            'environment_private' => ['ok' => (fileperms(base_path('.env')) & 0o004) === 0],
            'code_read_only' => ['ok' => ! is_writable(public_path('index.php'))],
        ]);
    }

    private function answer(array $checks): JsonResponse
    {
        $ok = ! in_array(false, array_column($checks, 'ok'), true);

        return response()->json(['status' => $ok ? 'ok' : 'failing', 'checks' => $checks], $ok ? 200 : 503);
    }
}
