<?php

// The things the application cannot work without, each proven by using it.

namespace App\Health;

use Illuminate\Support\Facades\DB;
use Illuminate\Support\Facades\Redis;
use RuntimeException;
use Throwable;

class Dependencies
{
    private const PROBE_BYTES = 8192;

    /** @return array<string, array{connected: bool, latency_ms: float, error?: string}> */
    public function check(): array
    {
        return [
            'database' => $this->measure($this->database(...)),
            'redis' => $this->measure($this->redis(...)),
            'queue' => $this->measure($this->queue(...)),
            'storage' => $this->measure($this->storage(...)),
        ];
    }

    private function measure(callable $probe): array
    {
        $start = hrtime(true);
        $error = [];
        try {
            $probe();
        } catch (Throwable $caught) {
            $error = ['error' => $caught->getMessage()];
        }

        return ['connected' => $error === [], 'latency_ms' => round((hrtime(true) - $start) / 1e6, 2)] + $error;
    }

    private function database(): void
    {
        $token = bin2hex(random_bytes(8));
        DB::table('health')->updateOrInsert(['id' => getmypid()], ['token' => $token, 'written_at' => now()]);
        if (DB::table('health')->where('id', getmypid())->value('token') !== $token) {
            throw new RuntimeException('the row that was written could not be read back');
        }
    }

    private function redis(): void
    {
        // A write, because Redis refuses those, and only those, when it cannot save to disk.
        Redis::connection('default')->setex('health:probe', 60, (string) time());
    }

    private function queue(): void
    {
        Redis::connection('queue')->llen('queues:default');
    }

    private function storage(): void
    {
        $file = storage_path('framework/probe-'.bin2hex(random_bytes(8)));
        // Without @ the warning would be an exception before the half-written file is removed.
        $written = @file_put_contents($file, random_bytes(self::PROBE_BYTES));
        @unlink($file);
        if ($written !== self::PROBE_BYTES) {
            throw new RuntimeException(self::PROBE_BYTES.' bytes could not be written to '.dirname($file));
        }
    }
}
