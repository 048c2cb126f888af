<?php

// A job that keeps memory, as a leak does, up to a bound. Nothing dispatches it but a fault of the lab.

namespace App\Jobs;

use Illuminate\Bus\Queueable;
use Illuminate\Contracts\Queue\ShouldQueue;

class KeepMemory implements ShouldQueue
{
    use Queueable;

    private const MOST = 300 << 20;

    private static array $kept = [];

    public function handle(): void
    {
        if (memory_get_usage() < self::MOST) {
            self::$kept[] = str_repeat('x', 3 << 20);
        }
        usleep(400_000);
    }
}
